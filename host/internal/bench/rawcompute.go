package main

import (
	"context"
	"fmt"
	"io"
	"os"

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
