package quicnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// TestALiarStaysInItsNetwork: one machine with many keys, each of which claims to be in a network of its own,
// counts as what it is seen as.
func TestALiarStaysInItsNetwork(t *testing.T) {
	n := node(t, quicnet.Config{})
	met := make(chan quicnet.Peer, 100)
	n.OnPeer(func(p quicnet.Peer) { met <- p })
	for i := range 20 {
		claim := netip.MustParseAddrPort(fmt.Sprintf("203.0.%d.1:4433", i))
		greeted(t, n, newIdentity(t), func(h *wire.Hello) { h.Listen = wire.NewAddress(claim) })
	}
	networks := map[netip.Prefix]bool{}
	for range 20 {
		at := (<-met).Contact.Addr
		networks[identity.Subnet(at.Addr())] = true
		if at != netip.MustParseAddrPort("127.0.0.1:4433") {
			t.Errorf("to be dialled at %s", at)
		}
	}
	if len(networks) != 1 {
		t.Errorf("one machine is in %d networks", len(networks))
	}
}

// TestAClaimIsChecked: where somebody else answers, or nobody, the claim is nothing; where the key answers it
// is told to observers, and believed at once the next time.
func TestAClaimIsChecked(t *testing.T) {
	pc, err := quicnet.Bind("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	there := netip.AddrPortFrom(netip.MustParseAddr("127.0.9.1"), uint16(pc.LocalAddr().(*net.UDPAddr).Port))
	honest := start(t, newIdentity(t), pc, quicnet.Config{Advertise: there})
	n := node(t, quicnet.Config{})
	met := make(chan quicnet.Peer, 100)
	n.OnPeer(func(p quicnet.Peer) { met <- p })

	ping(t, honest, n.Self())
	first := <-met
	if want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), there.Port()); first.Contact.Addr != want {
		t.Errorf("unproven, to be dialled at %s, want %s", first.Contact.Addr, want)
	}
	select {
	case p := <-met:
		if p.Contact != honest.Self() || p.Contact.Addr != there {
			t.Errorf("proven, to be dialled at %s, want %s", p.Contact, there)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the claim was never looked at")
	}

	greeted(t, n, newIdentity(t), func(h *wire.Hello) { h.Listen = wire.NewAddress(there) })
	liar := <-met
	if liar.Contact.Addr.Addr() != liar.Seen.Addr() {
		t.Errorf("a liar is to be dialled at %s", liar.Contact.Addr)
	}

	again := start(t, newIdentity(t), newSocket(t), quicnet.Config{})
	again.OnPeer(func(p quicnet.Peer) { met <- p })
	ping(t, again, honest.Self()) // dials it where it says it is
	if p := <-met; p.Contact.Addr != there {
		t.Errorf("dialled at %s, but to be dialled at %s", there, p.Contact.Addr)
	}
}

func newSocket(t *testing.T) net.PacketConn {
	t.Helper()
	pc, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return pc
}
