package host_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestAPeerThatMovedIsFoundByID, in virtual time: a contact with an address of the past leads to the peer at
// once, also when both sides moved meanwhile; one that is gone is an error.
func TestAPeerThatMovedIsFoundByID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := (&weather{rng: rand.New(rand.NewPCG(1, 2))}).village(t)
		for i := range 4 {
			v.add(listenOn(i))
		}
		for _, m := range v.nodes {
			v.meet(m, 3)
		}
		moved, asker, witnesses := v.nodes[0], v.nodes[1], v.nodes[2:4]
		old := moved.Contact()
		time.Sleep(2 * time.Minute) // everybody has written down whom it met
		moved.stop()
		asker.stop()
		moved = v.addAt(moved.dir, listenOn(10), bootstrapAt(witnesses[0]))
		for _, w := range witnesses {
			v.eventually("a witness to meet the one that moved", func() bool { return w.metAt(moved) })
		}
		asker = v.addAt(asker.dir, listenOn(11), bootstrapAt(witnesses[0]))
		v.eventually("the asker to meet a witness", func() bool { return asker.metAt(witnesses[0]) })
		if err := asker.PingPeer(t.Context(), old); err != nil {
			t.Errorf("an address of the past does not lead to the peer: %v", err)
		}
		gone := moved.Contact()
		moved.stop()
		if err := asker.PingPeer(t.Context(), gone); err == nil {
			t.Error("a peer that is gone answers")
		}
		for _, m := range v.nodes {
			m.stop()
		}
	})
}

// metAt tells whether a node knows another where that one is now.
func (m *member) metAt(other *member) bool {
	m.v.t.Helper()
	peers, err := m.Peers(m.v.t.Context())
	if err != nil {
		m.v.t.Fatal(err)
	}
	for _, p := range peers {
		if p.Node == other.id() && p.Addr == other.Addr().String() {
			return true
		}
	}
	return false
}
