package host_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestAProvenHolderIsToldOf: strangers have taken all slots of a tessera at its owner before it is
// published. A holder that proves what it has gets one of them, also after the owner has started anew.
func TestAProvenHolderIsToldOf(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	made := create(t, owner, folder(t, small))
	for range wire.MaxPointers {
		v.squat(owner, made.ID)
	}
	asker := v.stranger()
	if told := asker.toldOf(owner, made.ID); len(told) != wire.MaxPointers {
		t.Fatalf("%d slots are taken, want all", len(told))
	}
	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	announce := func(to *member) bool {
		t.Helper()
		if err := holder.Announce(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
		return asker.toldOf(to, made.ID)[holder.Contact().Key]
	}
	if announce(owner) {
		t.Fatal("one that has proven nothing got a slot")
	}
	if err := owner.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !announce(owner) {
		t.Error("one that has proven what it holds got no slot")
	}
	again := owner.restart()
	v.meet(again, 7)
	for range wire.MaxPointers {
		v.squat(again, made.ID)
	}
	if !announce(again) {
		t.Error("after a new start one that has proven what it holds got no slot")
	}
}

// squat has a new node, which is there for no longer than that, store a pointer to a tessera at a member.
func (v *village) squat(at *member, id sdk.TesseraID) {
	v.t.Helper()
	who, err := identity.Generate(powBits)
	if err != nil {
		v.t.Fatal(err)
	}
	conn, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		v.t.Fatal(err)
	}
	net, err := quicnet.Listen(quicnet.Config{PowBits: powBits}, who, conn)
	if err != nil {
		v.t.Fatal(err)
	}
	pointer := wire.SignPointer(who.Node, id, net.Self(), time.Now())
	m, err := net.Call(v.t.Context(), at.Contact(), &wire.StorePointers{Pointers: []*wire.SignedPointer{pointer.Message()}})
	if err := errors.Join(err, net.Close()); err != nil {
		v.t.Fatal(err)
	}
	if _, is := m.(*wire.StoreAck); !is {
		v.t.Fatalf("got %v", m)
	}
}

// toldOf asks a member who holds a tessera.
func (s *stranger) toldOf(m *member, id sdk.TesseraID) map[sdk.NodeKey]bool {
	s.t.Helper()
	a, err := s.net.Call(s.t.Context(), s.contact(m), &wire.FindPointers{Tessera: id[:]})
	if err != nil {
		s.t.Fatal(err)
	}
	told := map[sdk.NodeKey]bool{}
	for _, signed := range a.(*wire.Pointers).GetPointers() {
		p, err := wire.VerifyPointer(signed, powBits, time.Now())
		if err != nil {
			s.t.Fatal(err)
		}
		told[p.Holder.Key] = true
	}
	return told
}
