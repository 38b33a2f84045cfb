package host_test

import (
	"testing"
)

// TestAPeerThatMovedIsFoundById: a contact with an address of the past leads to the peer, also when
// both sides moved meanwhile; one that is gone is an error.
func TestAPeerThatMovedIsFoundById(t *testing.T) {
	v, owner := newVillage(t, 3)
	old := v.nodes[0].Contact()
	v.nodes[0].stop()
	owner = owner.restart()
	moved := v.addAt(v.nodes[0].dir)
	v.meet(moved, 3)
	if moved.Contact().Addr == old.Addr {
		t.Fatal("it did not move")
	}
	v.eventually("an address of the past to lead to the peer", func() bool {
		return owner.PingPeer(t.Context(), old) == nil
	})
	gone := moved.Contact()
	moved.stop()
	if err := owner.PingPeer(t.Context(), gone); err == nil {
		t.Error("a peer that is gone answers")
	}
}
