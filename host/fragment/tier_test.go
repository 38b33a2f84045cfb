package fragment

import (
	"errors"
	"math"
	"testing"
)

func TestTiers(t *testing.T) {
	for _, c := range []struct {
		packed       int64
		tier         FragmentationTier
		data, parity int
		copies       int
	}{
		{1, Small, 1, 0, 7},
		{4<<20 - 1, Small, 1, 0, 7},
		{4 << 20, Medium, 16, 8, 1},
		{256<<20 - 1, Medium, 16, 8, 1},
		{256 << 20, Large, 48, 24, 1},
		{3 << 30, Large, 48, 24, 1},
	} {
		p := ParamsFor(c.packed)
		if p.Tier != c.tier || p.Data != c.data || p.Parity != c.parity || p.Copies != c.copies || p.Chunk != 256<<10 {
			t.Errorf("%d bytes: %+v", c.packed, p)
		}
		if err := p.Check(); err != nil {
			t.Errorf("%d bytes: %v", c.packed, err)
		}
	}
	if p := ParamsFor(1000); p.ShardSize() != 1000 {
		t.Errorf("a small tessera's one fragment has %d bytes, not all of them", p.ShardSize())
	}
	if p := ParamsFor(300 << 20); PublishSpace(p) != 72*p.ShardSize() || RestoreSpace(p) != 48*p.ShardSize() {
		t.Error("spool space")
	}
}

// coded are parameters outside the tiers, as vectors and tests have them.
func coded(data, parity, chunk int, packed int64) Params {
	return Params{Tier: Medium, Data: data, Parity: parity, Chunk: chunk, Packed: packed, Copies: 1}
}

func TestShardSize(t *testing.T) {
	for _, c := range []struct {
		data, chunk  int
		packed, size int64
	}{
		{3, 8, 1, 1},
		{3, 8, 3, 1},
		{3, 8, 4, 2},
		{3, 8, 23, 8},
		{3, 8, 24, 8},
		{3, 8, 25, 9},
		{3, 8, 48, 16},
		{16, 256 << 10, 4 << 20, 256 << 10},
		{1, 5, 11, 11},
		{255, 1, 256, 2},
		{1, 1 << 20, 1 << 40, 1 << 40},
	} {
		if got := coded(c.data, 0, c.chunk, c.packed).ShardSize(); got != c.size {
			t.Errorf("%d bytes in %d shards by %d: %d, want %d", c.packed, c.data, c.chunk, got, c.size)
		}
	}
}

func TestImpossibleParams(t *testing.T) {
	good := coded(3, 2, 8, 100)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Params){
		"no bytes":         func(p *Params) { p.Packed = 0 },
		"negative bytes":   func(p *Params) { p.Packed = -1 },
		"too many bytes":   func(p *Params) { p.Packed = MaxPacked + 1 },
		"no data":          func(p *Params) { p.Data = 0 },
		"negative parity":  func(p *Params) { p.Parity = -1 },
		"256 shards":       func(p *Params) { p.Data, p.Parity = 200, 56 },
		"overflowing":      func(p *Params) { p.Data, p.Parity = 1, math.MaxInt },
		"no chunk":         func(p *Params) { p.Chunk = 0 },
		"large chunk":      func(p *Params) { p.Chunk = MaxChunk + 1 },
		"large stripe":     func(p *Params) { p.Data, p.Chunk = 100, MaxChunk },
		"no tier":          func(p *Params) { p.Tier = 0 },
		"unknown tier":     func(p *Params) { p.Tier = 9 },
		"small and coded":  func(p *Params) { p.Tier = Small },
		"two copies coded": func(p *Params) { p.Copies = 2 },
		"no copies":        func(p *Params) { *p = ParamsFor(100); p.Copies = 0 },
		"too many copies":  func(p *Params) { *p = ParamsFor(100); p.Copies = MaxCopies + 1 },
	} {
		p := good
		change(&p)
		if err := p.Check(); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v, want ErrParams", name, err)
		}
	}
}

// TestMemoryIsBounded walks through every code with the largest chunk it may have.
func TestMemoryIsBounded(t *testing.T) {
	if got := ParamsFor(1 << 30).Memory(); got > 23<<20 {
		t.Errorf("48+24 takes %d bytes", got)
	}
	for total := 1; total <= MaxShards; total++ {
		for data := 1; data <= total; data++ {
			p := coded(data, total-data, min(MaxChunk, MaxStripe/total), MaxPacked)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if p.Memory() > 43<<20 {
				t.Fatalf("%d+%d by %d takes %d bytes", p.Data, p.Parity, p.Chunk, p.Memory())
			}
		}
	}
}
