package core

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// TestOneLookupFillsNoBucket: whom a lookup meets on its way gets no place in the table, unless hardly anybody is
// there, and of those it finds only some.
func TestOneLookupFillsNoBucket(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const k = 20
	c := New(Node{at(1000).Contact, ID{}}, Config{K: k}, rand.New(rand.NewPCG(1, 1)))
	first := Node{at(0).Contact, ID{0xc0}}
	c.Met(now, Peer{Node: first})
	friends := make([]Node, k)
	for n := range friends {
		friends[n] = Node{at(1 + n).Contact, ID{0x80, byte(n)}}
	}
	lookup := func() (found Found) {
		c.Lookup(now, ID{0x80}, func(_ time.Time, f Found) { found = f })
		for out := c.Outbox(); len(out) > 0; out = c.Outbox() {
			for _, s := range out {
				if s.Kind != FindNode {
					t.Fatalf("asks %v", s.Question)
				}
				c.Met(now, Peer{Node: s.To})
				c.Answered(now, s.Query, Answer{Nodes: friends})
			}
		}
		return found
	}
	for round := range 3 {
		if found := lookup(); len(found.Nodes) != k+1 {
			t.Fatalf("found %d", len(found.Nodes))
		}
		if got, want := c.Table(), k/4+(round+1)*k/4; got != want {
			t.Errorf("after %d lookups the table has %d contacts, want %d", round+1, got, want)
		}
	}
	moved := friends[0]
	moved.Addr = contact(0, "127.0.0.9:4433").Addr
	c.Lookup(now, ID{0x80}, func(time.Time, Found) {})
	c.Met(now, Peer{Node: moved})
	if got := c.table.closest(ID{0x80}, 1, nil)[0]; got.Addr != moved.Addr {
		t.Errorf("a contact that was met at %s while it is asked is still at %s", moved.Addr, got.Addr)
	}
}

// TestProofOfWorkIsNoDistance: tesseras have ids without the leading zeros of a proof of work, and are found
// with as few questions as nodes.
func TestProofOfWorkIsNoDistance(t *testing.T) {
	w := begin(t, 9)
	const bits = 12
	settlers := make([]settler, size().replayed)
	for i := range settlers {
		settlers[i] = settler{at: without(w.random(), bits), config: Config{PowBits: bits}}
	}
	w.found(settlers...)
	questions, n := 0, 50
	for range n {
		var f *Found
		asker := w.honest()
		asker.do(func(now time.Time) {
			asker.FindHolders(now, sdk.TesseraID(w.random()), func(_ time.Time, found Found) { f = &found })
		})
		if !w.until(func() bool { return f != nil }) {
			t.Fatal("a search does not end")
		}
		questions += f.Asked
	}
	t.Logf("%d questions in %d searches", questions, n)
	if questions > 2*n*w.nodes[0].config.K {
		t.Errorf("%d questions each", questions/n)
	}
}

// TestTheSilentAreAskedWhereThereIsNobodyElse: a lookup that would have nobody to begin with asks contacts
// that were silent a moment ago.
func TestTheSilentAreAskedWhereThereIsNobodyElse(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c := New(at(1000), Config{}, rand.New(rand.NewPCG(1, 1)))
	c.Met(now, Peer{Node: at(1)})
	c.Met(now, Peer{Node: at(2)})
	ask := func() (asked []Send) {
		task := c.Lookup(now, at(3).At, func(time.Time, Found) {})
		asked = c.Outbox()
		c.Stop(now, task)
		return asked
	}
	c.Missed(now, at(1).Contact)
	if got := ask(); len(got) != 1 || got[0].To.Key != at(2).Key {
		t.Errorf("of one silent contact and one other it asks %v", got)
	}
	c.Missed(now, at(2).Contact)
	if got := ask(); len(got) != 2 {
		t.Errorf("of two silent contacts it asks %v", got)
	}
}
