package host_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// stranger is a node of the village that is none of ours: the real protocol over real QUIC, with
// answers the test makes up.
type stranger struct {
	t     *testing.T
	net   *quicnet.Net
	dht   *dht.DHT
	id    *identity.Identity
	asked atomic.Int32 // for what it lies about
}

// stranger joins the village.
func (v *village) stranger(tune ...func(*quicnet.Config)) *stranger {
	v.t.Helper()
	id, err := identity.Generate(powBits)
	if err != nil {
		v.t.Fatal(err)
	}
	bind := v.bind
	if bind == nil {
		bind = func(listen string) (net.PacketConn, error) { return quicnet.Bind(listen) }
	}
	conn, err := bind(v.seat())
	if err != nil {
		v.t.Fatal(err)
	}
	cfg := quicnet.Config{PowBits: powBits, FreeBytes: func() uint64 { return 1 << 40 }}
	for _, f := range tune {
		f(&cfg)
	}
	net, err := quicnet.Listen(cfg, id, conn)
	if err != nil {
		v.t.Fatal(err)
	}
	s := &stranger{t: v.t, net: net, id: id, dht: dht.New(net, id.Node, dht.Config{PowBits: powBits})}
	s.dht.Register(net)
	net.OnPeer(s.dht.Observe)
	net.Handle(wire.KindPing, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.Pong{FreeBytes: 1 << 40})
	})
	served := make(chan error, 1)
	go func() { served <- net.Serve(context.Background()) }()
	v.t.Cleanup(func() {
		if err := net.Close(); err != nil {
			v.t.Error(err)
		}
		s.dht.Close()
		if err := <-served; err != nil {
			v.t.Error(err)
		}
	})
	for _, m := range v.nodes {
		if !m.stopped {
			if _, err := net.Dial(v.t.Context(), identity.Contact{Addr: m.Addr()}); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	return s
}

// contact is how the stranger reaches a member.
func (s *stranger) contact(m *member) identity.Contact { return s.at(m.Addr().String()) }

// at is who answers at an address.
func (s *stranger) at(addr string) identity.Contact {
	s.t.Helper()
	p, err := s.net.Dial(s.t.Context(), identity.Contact{Addr: netip.MustParseAddrPort(addr)})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Contact
}

// claims lets the stranger say, under its signature, that it holds all fragments of a plan.
func (s *stranger) claims(plan *fragment.FragmentPlan) {
	s.t.Helper()
	s.attests(func(sdk.TesseraID) []wire.HeldFragment {
		var all []wire.HeldFragment
		for i, sum := range plan.Fragments {
			all = append(all, wire.HeldFragment{Index: i, Checksum: sum})
		}
		return all
	})
	if _, err := s.dht.Announce(s.t.Context(), []sdk.TesseraID{plan.Tessera}); err != nil {
		s.t.Fatal(err)
	}
}

// attests sets what the stranger says it holds.
func (s *stranger) attests(held func(sdk.TesseraID) []wire.HeldFragment) {
	s.net.Handle(wire.KindAttestRequest, func(_ context.Context, from quicnet.Peer, str *quicnet.Stream, m wire.Message) error {
		q := m.(*wire.AttestRequest)
		a := wire.Attestation{Verifier: from.Contact.Key, Time: time.Now(), Covered: len(q.GetTesseras())}
		for _, t := range q.GetTesseras() {
			if list := held(sdk.TesseraID(t)); len(list) > 0 {
				a.Held = append(a.Held, wire.Holding{Tessera: sdk.TesseraID(t), Fragments: list})
			}
		}
		return str.Send(wire.SignAttestation(s.id.Node, q, a))
	})
}

// answers counts the questions of a kind and lets answer lie.
func (s *stranger) answers(kind wire.Kind, answer func(ctx context.Context, str *quicnet.Stream, q wire.Message) error) {
	s.net.Handle(kind, func(ctx context.Context, _ quicnet.Peer, str *quicnet.Stream, q wire.Message) error {
		s.asked.Add(1)
		return answer(ctx, str, q)
	})
}

func parsePlan(t *testing.T, text []byte) *fragment.FragmentPlan {
	t.Helper()
	plan, err := fragment.OpenPlan(text)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// spoil replaces a file by what a fault makes of it.
func spoil(t *testing.T, path string, fault func([]byte) []byte) {
	t.Helper()
	if err := os.WriteFile(path, fault(read(t, path)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit in the middle.
func flip(b []byte) []byte {
	out := append([]byte(nil), b...)
	out[len(out)/2] ^= 0x10
	return out
}

// cut loses the last byte.
func cut(b []byte) []byte { return b[:len(b)-1] }
