package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// vary makes the content of round i differ from all others.
func vary(b []byte, i int) []byte {
	copy(b, fmt.Sprintf("%016d", i))
	return b
}

// plainPut is what a durable put cannot do without: write, sync, rename, sync of the folder.
func plainPut(b *testing.B, dir string, name int, content []byte) {
	temp := filepath.Join(dir, "tmp")
	f, err := os.Create(temp)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(dir, fmt.Sprint(name))); err != nil {
		b.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
}

func benchStore(b *testing.B) *Store {
	dir, err := vfs.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dir.Close() })
	s, err := New(dir, Config{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 256 { // as in a store that is in use
		if err := s.folders.make(digest.Hash{byte(i)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.folders.sync(digest.Hash{}); err != nil {
		b.Fatal(err)
	}
	return s
}

// report gives the speed of ours in GB/s and the ratio to the bound's.
func report(b *testing.B, size int, ours, bound time.Duration) {
	gb := float64(size) * float64(b.N) / 1e9
	b.ReportMetric(gb/ours.Seconds(), "GB/s")
	b.ReportMetric(gb/bound.Seconds(), "bound-GB/s")
	b.ReportMetric(bound.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDurablePut compares with plain write, fsync, rename and fsync of the folder, put by put.
func BenchmarkDurablePut(b *testing.B) {
	for _, size := range []int{1 << 20, 8 << 20} {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			s, plain, content := benchStore(b), b.TempDir(), randomBytes(1, size)
			var ours, bound time.Duration
			for i := range b.N {
				vary(content, i)
				start := time.Now()
				o, err := s.Stage(context.Background(), bytes.NewReader(content), nil)
				if err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				s.Unpin(o.Hash)
				start = time.Now()
				plainPut(b, plain, i, content)
				bound += time.Since(start)
			}
			report(b, size, ours, bound)
		})
	}
}

// hashStream is plain BLAKE3 in writes of 1 MiB, the best known size.
func hashStream(content []byte) digest.Hash {
	h := digest.New()
	for p := range slicesOf(content, 1<<20) {
		h.Write(p)
	}
	return h.Sum()
}

func slicesOf(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			m := min(n, len(b))
			if !yield(b[:m]) {
				return
			}
			b = b[m:]
		}
	}
}

func BenchmarkVerifiedRead(b *testing.B) {
	const size = 64 << 20
	s, content := benchStore(b), randomBytes(2, size)
	o, err := s.Stage(context.Background(), bytes.NewReader(content), nil)
	if err != nil {
		b.Fatal(err)
	}
	var ours, bound time.Duration
	for range b.N {
		start := time.Now()
		r, err := s.Open(o.Hash, o.Size)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		r.Close()
		start = time.Now()
		hashStream(content)
		bound += time.Since(start)
	}
	report(b, size, ours, bound)
}

// BenchmarkDuplicatePut compares with plain BLAKE3 of the same bytes.
func BenchmarkDuplicatePut(b *testing.B) {
	const size = 64 << 20
	s, content := benchStore(b), randomBytes(3, size)
	o, err := s.Stage(context.Background(), bytes.NewReader(content), nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, known := range map[string]*digest.Hash{"known": &o.Hash, "unknown": nil} {
		b.Run(name, func(b *testing.B) {
			var ours, bound time.Duration
			for range b.N {
				start := time.Now()
				if o, err := s.Stage(context.Background(), bytes.NewReader(content), known); err != nil || !o.Duplicate {
					b.Fatal(o, err)
				}
				ours += time.Since(start)
				start = time.Now()
				hashStream(content)
				bound += time.Since(start)
			}
			report(b, size, ours, bound)
		})
	}
}

// BenchmarkBatch is small files made durable together, beside the plain calls for the same files from
// as many goroutines.
func BenchmarkBatch(b *testing.B) {
	for _, together := range []bool{false, true} {
		b.Run(fmt.Sprintf("together=%v", together), func(b *testing.B) { benchBatch(b, together) })
	}
}

func benchBatch(b *testing.B, together bool) {
	const files, size = 1000, 4 << 10
	s, plain, content := benchStore(b), b.TempDir(), randomBytes(4, size)
	s.cfg.Together = together
	for i := range 256 {
		if err := os.Mkdir(filepath.Join(plain, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	var ours, bound time.Duration
	for i := range b.N {
		start := time.Now()
		batch := s.Batch()
		for j := range files {
			if _, err := batch.Stage(context.Background(), bytes.NewReader(vary(content, i*files+j))); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Sync(); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		batch.Close()
		start = time.Now()
		plainBatch(b, plain, i*files, files, content)
		bound += time.Since(start)
	}
	b.ReportMetric(float64(files*b.N)/ours.Seconds(), "files/s")
	b.ReportMetric(float64(files*b.N)/bound.Seconds(), "bound-files/s")
	b.ReportMetric(bound.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

func plainBatch(b *testing.B, dir string, from, n int, content []byte) {
	var g errgroup.Group
	g.SetLimit(DefaultWorkers)
	for i := from; i < from+n; i++ {
		g.Go(func() error {
			folder := filepath.Join(dir, fmt.Sprintf("%02x", i%256))
			temp := filepath.Join(folder, fmt.Sprint(i, ".tmp"))
			f, err := os.Create(temp)
			if err != nil {
				return err
			}
			_, err = f.Write(content)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			return os.Rename(temp, filepath.Join(folder, fmt.Sprint(i)))
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	for i := range 256 {
		g.Go(func() error {
			d, err := os.Open(filepath.Join(dir, fmt.Sprintf("%02x", i)))
			if err != nil {
				return err
			}
			return errors.Join(d.Sync(), d.Close())
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}
