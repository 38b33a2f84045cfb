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

// TestASalvoThatCostsTooMuch is made once more, each input alone; one that costs little is not.
func TestASalvoThatCostsTooMuch(t *testing.T) {
	for _, c := range []struct {
		each  int // bytes
		cheap bool
	}{{1 << 10, true}, {40 << 10, false}} {
		var seen []string
		source := rand.NewPCG(1, 1)
		b := bombardment{t: t, meter: newMeter(), seeds: [][]byte{[]byte("a seed")}, source: source, rng: rand.New(source)}
		b.parser.Parse = func(in []byte) {
			seen = append(seen, string(in))
			sink = append(sink[:0], make([]byte, c.each))
		}
		if got := b.try(4, false); got != c.cheap {
			t.Errorf("4 of %d bytes each: cheap is %v", c.each, got)
		}
		want := seen[:4]
		if !c.cheap {
			want = append(slices.Clone(want), want...)
		}
		if !slices.Equal(seen, want) {
			t.Errorf("tried %q, want %q", seen, want)
		}
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
