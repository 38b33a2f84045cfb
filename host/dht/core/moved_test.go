package core

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestWhoMovedIsFound by its id at once: one that missed it where it was asks for it where others met it.
func TestWhoMovedIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.found(make([]settler, 60)...)
	asker, moved := w.nodes[3], w.nodes[40]
	w.meet(asker, moved)
	old := moved.self.Contact
	w.run(2 * poolIdle)
	moved.self.Addr = netip.MustParseAddrPort("99.1.2.3:4433")
	for _, c := range w.nodes {
		if c != asker && c != moved {
			w.meet(c, moved)
		}
	}
	asker.do(func(now time.Time) { asker.Missed(now, old) })
	var f *Found
	asker.do(func(now time.Time) {
		asker.Lookup(now, moved.self.At, func(_ time.Time, found Found) { f = &found })
	})
	if !w.until(func() bool { return f != nil }) {
		t.Fatal("the lookup does not end")
	}
	if !slices.Contains(f.Nodes, moved.self) {
		t.Error("it is not found where it is")
	}
	if k, _ := asker.Peer(moved.self.Key); k.Contact.Addr != moved.self.Addr || k.Silent != 0 {
		t.Errorf("it is remembered as %+v", k)
	}
}

// TestWhoIsElsewhereIsNotSilent: a peer that does not answer where somebody said that it is has not fallen
// silent where it was met.
func TestWhoIsElsewhereIsNotSilent(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c := keeper()
	peer, liar := at(1, "12.0.0.1:4433"), at(2, "13.0.0.1:4433")
	c.Met(now, Peer{Node: liar})
	c.Met(now.Add(-time.Second), Peer{Node: peer})
	c.Lookup(now, peer.At, func(time.Time, Found) {})
	wrong := at(1, "14.0.0.1:4433")
	asked := 0
	for out := c.Outbox(); len(out) > 0; out = c.Outbox() {
		for _, s := range out {
			switch s.To {
			case liar:
				c.Answered(now, s.Query, Answer{Nodes: []Node{wrong}})
			case wrong:
				asked++
				c.Failed(now, s.Query, Silence)
			case peer:
				c.Failed(now, s.Query, Void)
			}
		}
	}
	if k, _ := c.Peer(peer.Key); asked != 1 || k.Silent != 0 {
		t.Errorf("asked %d times elsewhere, and now it is %+v", asked, k)
	}
}
