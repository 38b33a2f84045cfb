package repair

import (
	"bytes"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Repair without the owner needs no election: every holder of a tessera can compute the same order of all
// holders, by rendezvous hashing. The first three check its health, the others watch that somebody does.
// When something is missing the first one acts at once, the next only if that was not enough in a while.
const checkers = 3

// How long a repair is left to others at least, whatever the interval: finding out who is dead takes
// seconds, and what the owner is publishing just now is not at its target yet.
const (
	leastGrace  = 5 * time.Second
	ownersGrace = 15 * time.Second
)

// How often a holder does what falls to it, in rounds. The owner's node checks in every round; a holder is
// slower by its place in the order, and slower by one beside an owner who lives.
const (
	watchEvery = 4
	deepEvery  = 8 // everybody checks now and then, also where others do
)

// LongestRest is how long ago the last check of a kept tessera by this node may be, where its rounds are so far apart
// at most: those that come first in the order check it more often.
func LongestRest(interval time.Duration) time.Duration { return (deepEvery + 1) * interval }

// weight is a node's draw for a tessera; the lowest comes first.
func weight(t sdk.TesseraID, node sdk.NodeKey) digest.Hash {
	var both [2 * sdk.IDSize]byte
	copy(both[:], t[:])
	copy(both[sdk.IDSize:], node[:])
	return digest.Of(both[:])
}

// precedes tells whether one node comes before another in the order of a tessera's holders.
func precedes(t sdk.TesseraID, a, b sdk.NodeKey) bool {
	x, y := weight(t, a), weight(t, b)
	return bytes.Compare(x[:], y[:]) < 0
}

// InOrder sorts nodes as holders of a tessera take turns: by BLAKE3(tessera, node key).
func InOrder(t sdk.TesseraID, nodes []sdk.NodeKey) []sdk.NodeKey {
	drawn := make([]draw, len(nodes))
	for i, k := range nodes {
		drawn[i] = draw{k, weight(t, k)}
	}
	slices.SortFunc(drawn, compareDraws)
	order := make([]sdk.NodeKey, len(drawn))
	for i, d := range drawn {
		order[i] = d.node
	}
	return order
}

// draw is a node and what it drew for a tessera.
type draw struct {
	node   sdk.NodeKey
	weight digest.Hash
}

func compareDraws(a, b draw) int { return bytes.Compare(a.weight[:], b.weight[:]) }

// duty is what falls to this node for a tessera it holds a part of.
type duty int

const (
	rest duty = iota
	watch
	check
)

// turn is the place of this node among the holders that live, and how long it waits before it acts.
type turn struct {
	position int
	ahead    []catalog.Holder // the first ones, as far as they come before this node
	owner    bool             // the owner's node lives, and comes before all
}

// turnOf computes the place of self among a tessera's holders. Who is silent has none.
func turnOf(t sdk.TesseraID, self sdk.NodeKey, holders []catalog.Holder, ownerLives bool) turn {
	mine := weight(t, self)
	type ahead struct {
		draw
		at int
	}
	before := make([]ahead, 0, len(holders))
	for i := range holders {
		h := &holders[i]
		if !h.SilentSince.IsZero() || len(h.Fragments) == 0 || h.Key == self {
			continue
		}
		if w := weight(t, h.Key); bytes.Compare(w[:], mine[:]) < 0 {
			before = append(before, ahead{draw{h.Key, w}, i})
		}
	}
	out := turn{position: len(before), owner: ownerLives}
	slices.SortFunc(before, func(a, b ahead) int { return compareDraws(a.draw, b.draw) })
	for _, a := range before[:min(len(before), checkers)] {
		out.ahead = append(out.ahead, holders[a.at])
	}
	return out
}

// patience is how long this node leaves it to those before it.
func (u turn) patience(interval time.Duration) time.Duration {
	wait := time.Duration(u.position) * max(interval, leastGrace)
	if u.owner {
		wait += max(interval, ownersGrace)
	}
	return wait
}

// before is how many come before this node when something is to be repaired.
func (u turn) before() int {
	if u.owner {
		return u.position + 1
	}
	return u.position
}

// duty is what this node does about a tessera in a round. Tesseras are spread over the rounds by their
// ids.
func (u turn) duty(t sdk.TesseraID, round int) duty {
	at := round + int(t[0])
	switch {
	case u.position < checkers && at%(u.before()+1) == 0, at%deepEvery == 0:
		return check
	case u.position >= checkers && at%watchEvery == 0:
		return watch
	}
	return rest
}
