package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/klauspost/reedsolomon"
	"golang.org/x/sync/errgroup"
	"lukechampine.com/blake3"
)

// The raw parts: what a step cannot avoid, done with nothing around it. Each handles as many bytes as
// the step it is compared with.

// lanes runs work for 0 ... n-1, so many at a time.
func lanes(n, atOnce int, work func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return work(i) })
	}
	return g.Wait()
}

// stream hands out size bytes of data, over and over, a piece at a time.
func stream(data []byte, size int64, piece int, take func([]byte) error) error {
	for at := 0; size > 0; {
		n := int(min(size, int64(piece), int64(len(data)-at)))
		if err := take(data[at : at+n]); err != nil {
			return err
		}
		size -= int64(n)
		if at += n; at == len(data) {
			at = 0
		}
	}
	return nil
}

// rawHash is plain BLAKE3. The library uses all processors by itself where a write is large; with
// several streams it has one processor for each.
func (l *lab) rawHash(what string, size int64) part {
	hash := func(streams, piece int) timed {
		return func(_ context.Context, t *timer) error {
			t.begin()
			defer t.end()
			return lanes(streams, streams, func(i int) error {
				hashStream(l.random, size/int64(streams), piece)
				return nil
			})
		}
	}
	return part{"BLAKE3 of " + what, size, []form{
		{"1 stream, writes of 1 MiB", hash(1, mib)},
		{"2 streams, writes of 1 MiB", hash(2, mib)},
		{"2 streams, writes of 64 KiB", hash(2, 64*kib)},
	}}
}

// hashFile is hashStream of a file.
func hashFile(f *os.File, piece int) error {
	h := blake3.New(32, nil)
	buf := make([]byte, piece)
	for {
		n, err := f.Read(buf)
		_, _ = h.Write(buf[:n]) // never fails
		if err == io.EOF {
			h.Sum(nil)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func hashStream(data []byte, size int64, piece int) {
	h := blake3.New(32, nil)
	_ = stream(data, size, piece, func(b []byte) error { // a hash never fails
		_, err := h.Write(b)
		return err
	})
	h.Sum(nil)
}

// cacheSkew keeps parity columns of a power of two from falling onto the same lines of the cache.
const cacheSkew = 4096 + 64

// rawCode is plain Reed-Solomon over all random data, with a column of each shard at a time. lost
// shards are computed from the others; nil computes the parity.
func (l *lab) rawCode(k, m int, lost []int) part {
	code := func(column int) timed {
		return func(_ context.Context, t *timer) error {
			enc, err := reedsolomon.New(k, m, reedsolomon.WithCauchyMatrix())
			if err != nil {
				return err
			}
			c := &coder{enc: enc, k: k, lost: lost, spare: skewed(max(m, len(lost)), column), wanted: make([]bool, k+m)}
			for _, i := range lost {
				c.wanted[i] = true
			}
			t.begin()
			defer t.end()
			return c.all(l.random, column)
		}
	}
	p := part{name: fmt.Sprintf("Reed-Solomon %d+%d", k, m), bytes: int64(len(l.random))}
	for _, column := range []int{64 * kib, 6 * mib / (k + m) &^ 63, 256 * kib, mib} {
		p.forms = append(p.forms, form{fmt.Sprintf("columns of %d KiB", column/kib), code(column)})
	}
	return p
}

func skewed(n, size int) [][]byte {
	slab := make([]byte, n*(size+cacheSkew))
	out := make([][]byte, n)
	for i := range out {
		out[i] = slab[i*(size+cacheSkew):][:size:size]
	}
	return out
}

type coder struct {
	enc    reedsolomon.Encoder
	k      int
	lost   []int
	wanted []bool
	spare  [][]byte
}

// all codes data in stripes of k columns, the last of them shorter.
func (c *coder) all(data []byte, column int) error {
	for len(data) >= c.k {
		column = min(column, len(data)/c.k)
		if err := c.stripe(data[:c.k*column], column); err != nil {
			return err
		}
		data = data[c.k*column:]
	}
	return nil
}

// stripe takes the columns for those shards that are there.
func (c *coder) stripe(data []byte, column int) error {
	shards := make([][]byte, len(c.wanted))
	if c.lost == nil {
		for i := range c.k {
			shards[i] = data[i*column:][:column]
		}
		for i := c.k; i < len(shards); i++ {
			shards[i] = c.spare[i-c.k][:column]
		}
		return c.enc.Encode(shards)
	}
	for i, at := 0, 0; at < c.k; i++ {
		if !c.wanted[i] {
			shards[i] = data[at*column:][:column]
			at++
		}
	}
	for at, i := range c.lost {
		shards[i] = c.spare[at][:0:column]
	}
	return c.enc.ReconstructSome(shards, c.wanted)
}

// rawSpool writes files without a sync.
func (l *lab) rawSpool(what string, files int, each int64) part {
	write := func(atOnce, piece int) timed {
		return func(_ context.Context, t *timer) error {
			dir := l.path("raw-spool")
			defer os.RemoveAll(dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			t.begin()
			defer t.end()
			return lanes(files, atOnce, func(i int) error {
				return writePlain(filepath.Join(dir, fileName(i)), l.random, each, piece)
			})
		}
	}
	p := part{name: what, bytes: int64(files) * each, forms: []form{{"1 file at a time, writes of 1 MiB", write(1, mib)}}}
	if files > 1 {
		p.forms = append(p.forms,
			form{"2 files at a time, writes of 1 MiB", write(2, mib)},
			form{"4 files at a time, writes of 256 KiB", write(4, 256*kib)})
	}
	return p
}

func writePlain(path string, data []byte, size int64, piece int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = stream(data, size, piece, func(b []byte) error {
		_, err := f.Write(b)
		return err
	})
	return errors.Join(err, f.Close())
}

// rawRead reads files from the page cache.
func rawRead(what string, files []string, each int64) part {
	read := func(atOnce int) timed {
		return func(_ context.Context, t *timer) error {
			t.begin()
			defer t.end()
			return lanes(len(files), atOnce, func(i int) error {
				f, err := os.Open(files[i])
				if err != nil {
					return err
				}
				defer f.Close()
				buf := make([]byte, 256*kib)
				for err == nil {
					_, err = f.Read(buf)
				}
				if err == io.EOF {
					return nil
				}
				return err
			})
		}
	}
	return part{what, int64(len(files)) * each, []form{{"1 at a time", read(1)}, {"2 at a time", read(2)}}}
}

// writeDurable makes one file durable: write, fsync, rename, fsync of the folder.
func writeDurable(dir, name string, data []byte, size int64) error {
	if err := writeSynced(dir, name, data, size); err != nil {
		return err
	}
	return syncFolder(dir)
}

// writeSynced is writeDurable without the folder.
func writeSynced(dir, name string, data []byte, size int64) error {
	temp := filepath.Join(dir, name+".tmp")
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	err = stream(data, size, mib, func(b []byte) error {
		_, err := f.Write(b)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, name))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rawSmallFiles makes many small files durable, each synced, the folder synced once.
func (l *lab) rawSmallFiles(files int, each int64) part {
	write := func(atOnce int) timed {
		return func(_ context.Context, t *timer) error {
			dir := l.path("raw-small")
			defer os.RemoveAll(dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			t.begin()
			defer t.end()
			err := lanes(files, atOnce, func(i int) error { return writeSynced(dir, fileName(i), l.random, each) })
			if err != nil {
				return err
			}
			return syncFolder(dir)
		}
	}
	return part{"small files, each fsynced", int64(files) * each, []form{
		{"16 at a time", write(16)}, {"64 at a time", write(64)}, {"128 at a time", write(128)},
	}}
}

// rawDurable makes one large file durable.
func (l *lab) rawDurable(size int64) part {
	return part{"durable write", size, []form{{"1 file, writes of 1 MiB", func(_ context.Context, t *timer) error {
		dir := l.path("raw-durable")
		defer os.RemoveAll(dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		t.begin()
		defer t.end()
		return writeDurable(dir, "file", l.random, size)
	}}}}
}

// rawSocket sends bytes through a Unix socket.
func (l *lab) rawSocket(size int64) part {
	send := func(piece int) timed {
		return func(_ context.Context, t *timer) error {
			path := l.path("raw.sock")
			listener, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			defer listener.Close()
			t.begin()
			defer t.end()
			var g errgroup.Group
			g.Go(func() error {
				c, err := net.Dial("unix", path)
				if err != nil {
					return err
				}
				defer c.Close()
				return stream(l.random, size, piece, func(b []byte) error {
					_, err := c.Write(b)
					return err
				})
			})
			g.Go(func() error { return swallow(listener, piece) })
			return g.Wait()
		}
	}
	return part{"local socket", size, []form{{"writes of 256 KiB", send(256 * kib)}, {"writes of 1 MiB", send(mib)}}}
}

// swallow reads one connection to its end.
func swallow(listener net.Listener, piece int) error {
	c, err := listener.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, piece)
	for err == nil {
		_, err = c.Read(buf)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func fileName(i int) string { return fmt.Sprintf("%06d", i) }

func subfolder(i int) string { return fmt.Sprintf("%04d", i/100) }
