package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/vfs"
)

// The codec on real files: the packed tessera comes from memory, shards go to and come from a spool.

func codecSteps(l *lab) []step {
	var all []step
	for _, c := range []fragment.Params{
		{Tier: fragment.Medium, Data: 16, Parity: 8},
		{Tier: fragment.Large, Data: 48, Parity: 24},
	} {
		c.Chunk, c.Copies, c.Packed = fragment.DefaultChunk, 1, l.size
		b := &codecBench{lab: l, p: c, code: fmt.Sprintf("%d+%d", c.Data, c.Parity)}
		all = append(all,
			step{"encode " + b.code, b.encodeRow},
			step{"decode " + b.code + " all parity", b.decodeRow},
			step{"rebuild " + b.code + " one shard", b.rebuildRow})
	}
	return all
}

const encodeGoal = 0.8

type codecBench struct {
	*lab
	p    fragment.Params
	code string
}

func (b *codecBench) encodeRow(ctx context.Context) ([]row, error) {
	files, each := b.p.Total(), b.p.ShardSize()
	r, err := b.contest(ctx, "encode "+b.code, b.size, b.encode, []part{
		b.rawHash("the shards", int64(files)*each),
		b.rawCode(b.p.Data, b.p.Parity, nil),
		b.rawSpool("spool write", files, each),
	})
	return []row{r.atLeast(encodeGoal)}, err
}

// encode fills a spool that goes away afterwards.
func (b *codecBench) encode(ctx context.Context, t *timer) error {
	return b.spooled(func(dir *vfs.Dir) error {
		spool, err := fragment.OpenSpool(dir, "out")
		if err != nil {
			return err
		}
		t.begin()
		defer t.end()
		_, err = fragment.Encode(ctx, b.p, bytes.NewReader(b.random), spool)
		return err
	})
}

// spooled gives a folder that is removed afterwards.
func (b *codecBench) spooled(work func(*vfs.Dir) error) error {
	path, err := b.folder("codec")
	if err != nil {
		return err
	}
	defer os.RemoveAll(path)
	dir, err := vfs.OpenDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return work(dir)
}

// mend encodes once and then measures what is made from the shards in have.
func (b *codecBench) mend(ctx context.Context, name string, bytesOut int64, have []int,
	work func(plan *fragment.FragmentPlan, shards map[int]io.Reader, out io.Writer) error, parts []part,
) (r row, err error) {
	err = b.spooled(func(dir *vfs.Dir) error {
		spool, err := fragment.OpenSpool(dir, "shards")
		if err != nil {
			return err
		}
		hashes, err := fragment.Encode(ctx, b.p, bytes.NewReader(b.random), spool)
		if err != nil {
			return err
		}
		plan := &fragment.FragmentPlan{Params: b.p, Fragments: hashes}
		var files []string
		for _, i := range have {
			files = append(files, b.path(fmt.Sprintf("codec/shards/%d.shard", i)))
		}
		parts = slices.Insert(parts, 0, rawRead("reading the shards", files, b.p.ShardSize()))
		r, err = b.contest(ctx, name, bytesOut, func(_ context.Context, t *timer) error {
			return b.once(spool, have, t, func(shards map[int]io.Reader, out io.Writer) error { return work(plan, shards, out) })
		}, parts)
		return err
	})
	return r, err
}

// once opens shards and a file for the result, which goes away afterwards.
func (b *codecBench) once(spool *fragment.Spool, have []int, t *timer, work func(map[int]io.Reader, io.Writer) error) error {
	shards, closeAll, err := spool.Shards(have)
	if err != nil {
		return err
	}
	defer closeAll()
	out, err := os.Create(b.path("codec/result"))
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	t.begin()
	defer t.end()
	return work(shards, out)
}

func (b *codecBench) decodeRow(ctx context.Context) ([]row, error) {
	lost, have := ints(0, b.p.Parity), ints(b.p.Parity, b.p.Total())
	r, err := b.mend(ctx, "decode "+b.code+" all parity", b.size, have,
		func(plan *fragment.FragmentPlan, shards map[int]io.Reader, out io.Writer) error {
			return fragment.Decode(ctx, plan, shards, out)
		}, []part{
			b.rawCode(b.p.Data, b.p.Parity, lost),
			b.rawHash("what was computed", int64(len(lost))*b.p.ShardSize()),
			b.rawSpool("plain write", 1, b.size),
		})
	return []row{r}, err
}

func (b *codecBench) rebuildRow(ctx context.Context) ([]row, error) {
	const lost = 3
	have := slices.DeleteFunc(ints(0, b.p.Data+1), func(i int) bool { return i == lost })
	r, err := b.mend(ctx, "rebuild "+b.code+" one shard", b.size, have,
		func(plan *fragment.FragmentPlan, shards map[int]io.Reader, out io.Writer) error {
			return fragment.Rebuild(ctx, plan, shards, map[int]io.Writer{lost: out})
		}, []part{
			b.rawCode(b.p.Data, b.p.Parity, []int{lost}),
			b.rawHash("what was computed", b.p.ShardSize()),
			b.rawSpool("plain write", 1, b.p.ShardSize()),
		})
	return []row{r}, err
}

// ints are first ... end-1.
func ints(first, end int) (all []int) {
	for i := first; i < end; i++ {
		all = append(all, i)
	}
	return all
}
