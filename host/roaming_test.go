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
	if err := owner.PingPeer(t.Context(), old); err != nil {
		t.Errorf("by an address of the past: %v", err)
	}
	gone := moved.Contact()
	moved.stop()
	if err := owner.PingPeer(t.Context(), gone); err == nil {
		t.Error("a peer that is gone answers")
	}
}
