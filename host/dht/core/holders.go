package core

import (
	"math/rand/v2"
	"slices"

	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// maxHolders bounds what one search gives.
const maxHolders = 256

// holders collects the pointers to one tessera from several answers, one per holder, the newest.
type holders struct {
	self    sdk.NodeKey
	tessera sdk.TesseraID
	all     []told
	at      map[sdk.NodeKey]int
	answers int
}

// told is a pointer and how many answers told of its holder.
type told struct {
	wire.Pointer
	voices int
	last   int // the answer that told of it last
}

func newHolders(self sdk.NodeKey, t sdk.TesseraID) *holders {
	return &holders{self: self, tessera: t, at: map[sdk.NodeKey]int{}}
}

// any tells whether a holder was found.
func (h *holders) any() bool { return h != nil && len(h.all) > 0 }

// add takes in one answer.
func (h *holders) add(pointers []wire.Pointer) {
	h.answers++
	for _, p := range pointers {
		if p.Holder.Key == h.self || p.Tessera != h.tessera {
			continue
		}
		i, known := h.at[p.Holder.Key]
		if !known {
			i = len(h.all)
			h.at[p.Holder.Key] = i
			h.all = append(h.all, told{Pointer: p})
		}
		t := &h.all[i]
		if p.Time.After(t.Time) {
			t.Pointer = p
		}
		if t.last != h.answers {
			t.last = h.answers
			t.voices++
		}
	}
}

// list gives the pointers, at most maxHolders, in an order that nobody can choose a key for: but first those to
// holders of whom at least half as many told as of any. A holder is told of by all who are near, and what a liar
// makes up by those that lie.
func (h *holders) list(rng *rand.Rand) []wire.Pointer {
	most := 0
	for _, t := range h.all {
		most = max(most, t.voices)
	}
	rng.Shuffle(len(h.all), func(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] })
	slices.SortStableFunc(h.all, func(a, b told) int { return second(2*a.voices < most, 2*b.voices < most) })
	var out []wire.Pointer
	for _, t := range h.all[:min(len(h.all), maxHolders)] {
		out = append(out, t.Pointer)
	}
	return out
}
