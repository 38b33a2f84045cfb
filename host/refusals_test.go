package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestRefusalsAreCounted: a forged pointer, a contact without its work and a message that nobody understands move the
// figure of their name, and the sum of all.
func TestRefusalsAreCounted(t *testing.T) {
	v, owner := newVillage(t, 1)
	s := v.stranger()
	call := func(req wire.Message) {
		t.Helper()
		if _, err := s.net.Call(t.Context(), s.contact(owner), req); err != nil && wire.CodeOf(err) == wire.Code_OK {
			t.Fatal(err)
		}
	}
	forged := wire.SignPointer(s.id.Node, sdk.TesseraID{1}, s.net.Self(), time.Now())
	forged.Signature[7] ^= 1
	lazy := identity.Contact{Key: sdk.NodeKey{1}, Addr: s.net.Self().Addr}
	for lazy.Nonce = 0; identity.CheckWork(lazy.ID(), powBits); lazy.Nonce++ {
	}
	s.answers(wire.KindFindNode, func(_ context.Context, str *quicnet.Stream, _ wire.Message) error {
		return str.Send(&wire.Nodes{Nodes: []*wire.Contact{wire.NewContact(lazy)}})
	})
	for what, do := range map[string]func(){
		dht.RefusedPointer: func() { call(&wire.StorePointers{Pointers: []*wire.SignedPointer{forged.Message()}}) },
		dht.RefusedContact: func() { owner.Finds(t.Context(), sdk.TesseraID{2}) },
		"unsupported":      func() { call(&wire.Pong{}) },
	} {
		before, sum := owner.Refusals()[what], owner.metrics()["tesseras_refused_total"]
		do()
		v.eventually(what+" to be counted", func() bool {
			return owner.Refusals()[what] > before && owner.metrics()["tesseras_refused_total"] > sum
		})
	}
	for _, name := range []string{"tesseras_handshakes_half_open", "tesseras_handshakes_retried_total"} {
		if _, there := owner.metrics()[name]; !there {
			t.Errorf("there is no metric %s", name)
		}
	}
}
