package dht

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestASignatureIsVerifiedOnce: a pointer that was verified is known again as long as it is the same to
// the last bit and has not expired, and what is remembered is bounded.
func TestASignatureIsVerifiedOnce(t *testing.T) {
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(2_000_000_000, 0)
	at := identity.Contact{Addr: netip.MustParseAddrPort("192.0.2.1:4433")}
	pointer := func(i int) *wire.SignedPointer {
		return wire.SignPointer(id.Node, sdk.TesseraID{byte(i), byte(i >> 8)}, at, now).Message()
	}
	var s signedPointers
	first := pointer(0)
	p, err := s.verify(first, -1, now)
	if err != nil || !s.has(p) {
		t.Fatalf("verified: %v, remembered %v", err, s.has(p))
	}
	for name, change := range map[string]func(*wire.SignedPointer){
		"signature": func(m *wire.SignedPointer) { m.Signature[7] ^= 1 },
		"time":      func(m *wire.SignedPointer) { m.TimeMs++ },
		"tessera":   func(m *wire.SignedPointer) { m.Tessera[3] ^= 1 },
	} {
		other := proto.CloneOf(first)
		change(other)
		if _, err := s.verify(other, -1, now); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("with another %s after the true one: %v", name, err)
		}
	}
	if _, err := s.verify(first, -1, now.Add(wire.PointerLife)); !errors.Is(err, wire.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	for i := 1; i < 3*signedKept; i++ {
		s.add(wire.Pointer{Tessera: sdk.TesseraID{byte(i), byte(i >> 8)}})
		if i%signedKept == signedKept/2 && !s.has(p) {
			t.Fatalf("forgotten after %d others although it is asked for", i)
		}
	}
	if len(s.young) > signedKept || len(s.old) > signedKept {
		t.Errorf("%d and %d are remembered", len(s.young), len(s.old))
	}
}
