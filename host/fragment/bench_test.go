package fragment

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/reedsolomon"
	"lukechampine.com/blake3"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// Each benchmark times our step and, in the same run, the raw parts of it one after another: the
// bound. The parts are as fast as we know how to make them: plain BLAKE3 in 1 MiB writes (which uses
// all cores), plain Reed-Solomon on chunks of 256 KiB, plain reads and writes of files by two
// goroutines. The metric "of-bound" is bound time / our time: above 1 the overlap wins.

var benchCodes = []Params{
	{Tier: Medium, Data: 16, Parity: 8, Chunk: DefaultChunk, Packed: 256 << 20, Copies: 1},
	{Tier: Large, Data: 48, Parity: 24, Chunk: DefaultChunk, Packed: 256 << 20, Copies: 1},
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range benchCodes {
		b.Run(fmt.Sprintf("%d+%d", p.Data, p.Parity), func(b *testing.B) {
			l := newLab(b, p)
			var ours, bound []time.Duration
			for b.Loop() {
				ours = append(ours, l.timed(func() { l.encode(l.out) }))
				bound = append(bound, l.timed(
					func() { l.hash(p.Total()) },
					func() { l.code(func(rs reedsolomon.Encoder, s [][]byte) error { return rs.Encode(s) }, nil) },
					func() { l.writeFiles(l.p.Total(), l.p.ShardSize()) },
				))
			}
			l.report(ours, bound)
		})
	}
}

// BenchmarkDecode loses as many data shards as there is parity: all of it is used.
func BenchmarkDecode(b *testing.B) {
	for _, p := range benchCodes {
		b.Run(fmt.Sprintf("%d+%d", p.Data, p.Parity), func(b *testing.B) {
			l := newLab(b, p)
			l.encode(l.spool)
			lost := firstInts(p.Parity)
			have := firstInts(p.Total())[p.Parity:]
			var ours, bound []time.Duration
			for b.Loop() {
				ours = append(ours, l.timed(func() { l.decode(have) }))
				bound = append(bound, l.timed(
					func() { l.readFiles(have) },
					func() { l.code(reedsolomon.Encoder.ReconstructData, lost) },
					func() { l.hash(len(lost)) },
					func() { l.writeFiles(1, p.Packed) },
				))
			}
			l.report(ours, bound)
		})
	}
}

func BenchmarkRebuildOne(b *testing.B) {
	for _, p := range benchCodes {
		b.Run(fmt.Sprintf("%d+%d", p.Data, p.Parity), func(b *testing.B) {
			l := newLab(b, p)
			l.encode(l.spool)
			lost := []int{3}
			have := append([]int{0, 1, 2}, firstInts(p.Data + 1)[4:]...)
			wanted := make([]bool, p.Total())
			wanted[3] = true
			var ours, bound []time.Duration
			for b.Loop() {
				ours = append(ours, l.timed(func() { l.rebuild(have, 3) }))
				bound = append(bound, l.timed(
					func() { l.readFiles(have) },
					func() {
						l.code(func(rs reedsolomon.Encoder, s [][]byte) error { return rs.ReconstructSome(s, wanted) }, lost)
					},
					func() { l.hash(1) },
					func() { l.writeFiles(1, p.ShardSize()) },
				))
			}
			l.report(ours, bound)
		})
	}
}

// lab holds what a benchmark works on: a tessera, its spool on a real disk, and room for the raw parts.
type lab struct {
	b      *testing.B
	p      Params
	plan   *FragmentPlan
	packed []byte
	dir    string
	spool  *Spool // holds all shards
	out    *Spool // emptied before each run
}

func newLab(b *testing.B, p Params) *lab {
	b.Helper()
	l := &lab{b: b, p: p, dir: b.TempDir(), packed: randomBytes(7, int(p.Packed))}
	fsys, err := vfs.OpenDir(l.dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { fsys.Close() })
	l.spool, err = OpenSpool(fsys, "spool")
	l.must(err)
	l.out, err = OpenSpool(fsys, "out")
	l.must(err)
	return l
}

// timed runs the parts one after another, without the time to delete what an earlier run left.
func (l *lab) timed(parts ...func()) time.Duration {
	l.clean()
	start := time.Now()
	for _, part := range parts {
		part()
	}
	return time.Since(start)
}

func (l *lab) must(err error) {
	l.b.Helper()
	if err != nil {
		l.b.Fatal(err)
	}
}

// report compares the medians, which one hiccup of the disk does not move.
func (l *lab) report(ours, bound []time.Duration) {
	slices.Sort(ours)
	slices.Sort(bound)
	o, r := ours[len(ours)/2].Seconds(), bound[len(bound)/2].Seconds()
	l.b.ReportMetric(float64(l.p.Packed)/1e9/o, "GB/s-ours")
	l.b.ReportMetric(float64(l.p.Packed)/1e9/r, "GB/s-bound")
	l.b.ReportMetric(r/o, "of-bound")
	l.b.ReportMetric(0, "ns/op")
}

func (l *lab) encode(sink Sink) {
	hashes, err := Encode(context.Background(), l.p, bytes.NewReader(l.packed), sink)
	l.must(err)
	l.plan = &FragmentPlan{Params: l.p, Fragments: hashes}
}

func (l *lab) decode(have []int) {
	shards, closeAll, err := l.spool.Shards(have)
	l.must(err)
	defer closeAll()
	f, err := l.create("result")
	l.must(err)
	defer f.Close()
	l.must(Decode(context.Background(), l.plan, shards, f))
}

func (l *lab) rebuild(have []int, index int) {
	shards, closeAll, err := l.spool.Shards(have)
	l.must(err)
	defer closeAll()
	f, err := l.create("result")
	l.must(err)
	defer f.Close()
	l.must(Rebuild(context.Background(), l.plan, shards, map[int]io.Writer{index: f}))
}

// clean deletes the files of earlier runs. Truncating them would make ext4 flush the new ones.
func (l *lab) clean() {
	old, err := filepath.Glob(filepath.Join(l.dir, "out", "*"))
	l.must(err)
	for _, name := range old {
		l.must(os.Remove(name))
	}
}

// create makes a file that the next run deletes.
func (l *lab) create(name string) (*os.File, error) {
	return os.Create(filepath.Join(l.dir, "out", name))
}

// hash is plain BLAKE3 in streaming writes of 1 MiB over n shards.
func (l *lab) hash(n int) {
	for i := range n {
		h := blake3.New(digest.Size, nil)
		l.pieces(i, l.p.ShardSize(), func(b []byte) error { return errOf(h.Write(b)) })
		h.Sum(nil)
	}
}

// pieces walks through size bytes, 1 MiB at a time, beginning somewhere else for each i.
func (l *lab) pieces(i int, size int64, work func(b []byte) error) (err error) {
	for at := int64(i) * size; size > 0 && err == nil; at += 1 << 20 {
		n := min(size, 1<<20)
		start := at % (l.p.Packed - n)
		err = work(l.packed[start : start+n])
		size -= n
	}
	return err
}

func errOf(_ int, err error) error { return err }

// code is plain Reed-Solomon over the whole tessera, a stripe at a time in the same buffers.
func (l *lab) code(work func(reedsolomon.Encoder, [][]byte) error, lost []int) {
	rs, err := reedsolomon.New(l.p.Data, l.p.Parity, reedsolomon.WithCauchyMatrix())
	l.must(err)
	chunks := buffers(l.p.Total(), l.p.Chunk)
	for range l.p.stripes() {
		for _, i := range lost {
			chunks[i] = chunks[i][:0]
		}
		l.must(work(rs, chunks))
	}
}

// writeFiles is plain buffered writing of n files of so many bytes.
func (l *lab) writeFiles(n int, size int64) {
	l.must(parallel(n, func(i int) error {
		f, err := l.create(fmt.Sprint("raw", i))
		if err != nil {
			return err
		}
		defer f.Close()
		return l.pieces(i, size, func(b []byte) error { return errOf(f.Write(b)) })
	}))
}

// readFiles is plain reading of some shards of the spool.
func (l *lab) readFiles(indices []int) {
	l.must(parallel(len(indices), func(i int) error {
		f, err := l.spool.Open(indices[i])
		if err != nil {
			return err
		}
		defer f.Close()
		buf := make([]byte, l.p.Chunk)
		for err == nil {
			_, err = io.ReadFull(f, buf)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		return err
	}))
}
