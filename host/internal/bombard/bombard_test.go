package bombard

import (
	"math/rand/v2"
	"slices"
	"testing"
)

var sink [][]byte

// TestTheMeterSees a parser that believes a length, and not one that is careful.
func TestTheMeterSees(t *testing.T) {
	m := newMeter()
	greedy := func() { sink = append(sink[:0], make([]byte, 1<<20)) }
	m.since()
	greedy()
	if got := m.since(); got < 1<<20 {
		t.Errorf("a megabyte counts as %d", got)
	}
	if got := leastOf(3, greedy); got < 1<<20 || got > 2<<20 {
		t.Errorf("a megabyte is %d when counted exactly", got)
	}
	m.since()
	if got := m.since(); got > 64<<10 {
		t.Errorf("nothing counts as %d", got)
	}
}

// TestMutations differ from what they are made of, and leave it alone.
func TestMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	from, other := []byte("tesseras plan 1\nhead 32\n"), []byte("another one")
	before := slices.Clone(from)
	same, seen := 0, map[string]bool{}
	var out []byte
	for range 1000 {
		out = mutate(rng, out, from, other)
		if slices.Equal(out, from) {
			same++
		}
		seen[string(out)] = true
	}
	if !slices.Equal(from, before) || same > 100 || len(seen) < 500 {
		t.Errorf("%d of 1000 are the same, %d differ among themselves", same, len(seen))
	}
}
