package host_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestAProvenHolderIsToldOf, in virtual time: strangers have taken all slots of a tessera at its owner before
// it is published. A holder that proves what it has gets one of them, also after the owner has started anew.
func TestAProvenHolderIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := (&weather{rng: rand.New(rand.NewPCG(1, 2))}).village(t)
		for i := range 4 {
			v.add(listenOn(i))
		}
		owner, holder := v.nodes[3], v.nodes[0]
		v.meet(owner, 3)
		made := create(t, owner, folder(t, small))
		for n := range wire.MaxPointers {
			v.squat(n, owner, made.ID)
		}
		if told := v.toldOf(owner, made.ID); len(told) != wire.MaxPointers {
			t.Fatalf("%d slots are taken, want all", len(told))
		}
		announced := func(to *member) bool {
			t.Helper()
			if err := holder.Announce(t.Context(), made.ID); err != nil {
				t.Fatal(err)
			}
			return v.toldOf(to, made.ID)[holder.Contact().Key]
		}
		if announced(owner) {
			t.Fatal("one that has proven nothing got a slot")
		}
		if _, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress); err != nil {
			t.Fatal(err)
		}
		v.eventually("a copy at the holder", func() bool { return len(holder.held(made.ID)) > 0 })
		owner.round()
		if !announced(owner) {
			t.Error("one that has proven what it holds got no slot")
		}
		owner.stop()
		owner = v.addAt(owner.dir, listenOn(10))
		for n := range wire.MaxPointers {
			v.squat(n, owner, made.ID)
		}
		v.eventually("the holder to meet the owner where it is", func() bool { return holder.metAt(owner) })
		if !announced(owner) {
			t.Error("after a new start one that has proven what it holds got no slot")
		}
		for _, m := range v.nodes {
			m.stop()
		}
	})
}

// outside does something as a new node that is there for no longer than that, in the n-th subnet outside of
// the village.
func (v *village) outside(n int, do func(net *quicnet.Net, who *identity.Identity) error) {
	v.t.Helper()
	who, err := identity.Generate(powBits)
	if err != nil {
		v.t.Fatal(err)
	}
	conn, err := v.bind(fmt.Sprintf("12.0.%d.1:%d", n, 1000+v.seats))
	if err != nil {
		v.t.Fatal(err)
	}
	v.seats++
	net, err := quicnet.Listen(quicnet.Config{PowBits: powBits}, who, conn)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := errors.Join(do(net, who), net.Close()); err != nil {
		v.t.Fatal(err)
	}
}

// squat has a stranger store a pointer to a tessera at a member.
func (v *village) squat(n int, at *member, id sdk.TesseraID) {
	v.t.Helper()
	v.outside(n, func(net *quicnet.Net, who *identity.Identity) error {
		pointer := wire.SignPointer(who.Node, id, net.Self(), time.Now())
		m, err := net.Call(v.t.Context(), at.Contact(), &wire.StorePointers{Pointers: []*wire.SignedPointer{pointer.Message()}})
		if ack, is := m.(*wire.StoreAck); err == nil && (!is || ack.GetStored() != 1) {
			err = fmt.Errorf("no slot was free: %v", m)
		}
		return err
	})
}

// toldOf asks a member, as a stranger, who holds a tessera.
func (v *village) toldOf(m *member, id sdk.TesseraID) map[sdk.NodeKey]bool {
	v.t.Helper()
	told := map[sdk.NodeKey]bool{}
	v.outside(200, func(net *quicnet.Net, _ *identity.Identity) error {
		a, err := net.Call(v.t.Context(), m.Contact(), &wire.FindPointers{Tessera: id[:]})
		if err != nil {
			return err
		}
		for _, signed := range a.(*wire.Pointers).GetPointers() {
			p, err := wire.ReadPointer(signed, powBits, time.Now())
			if err := errors.Join(err, p.VerifySignature()); err != nil {
				return err
			}
			told[p.Holder.Key] = true
		}
		return nil
	})
	return told
}
