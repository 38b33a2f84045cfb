package quicnet

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
)

// TestSourcesHaveAPace: each source has its own, home networks a faster one, and the table is bounded.
func TestSourcesHaveAPace(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newSources(10, 100)
	drain := func(addr string) (n int) {
		for n = 0; s.allow(netip.MustParseAddr(addr), 1, now); n++ {
		}
		return n
	}
	if n := drain("203.0.113.1"); n != 41 {
		t.Errorf("%d at once, want 41", n)
	}
	if n := drain("203.0.113.2"); n != 41 {
		t.Errorf("a neighbour has %d, want 41", n)
	}
	if n := drain("::ffff:203.0.113.1"); n != 0 {
		t.Errorf("IPv6 clothes give %d more", n)
	}
	if n, m := drain("2001:db8:1::1"), drain("2001:db8:1:00ff::2"); n != 41 || m != 0 {
		t.Errorf("a /56 has %d and %d, want 41 in all", n, m)
	}
	if n := drain("127.0.0.1"); n != 41*homely {
		t.Errorf("loopback has %d, want %d", n, 41*homely)
	}
	now = now.Add(time.Second)
	if n := drain("203.0.113.1"); n != 10 {
		t.Errorf("%d a second later, want 10", n)
	}
	for i := range 10_000 {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 0x0b000000+uint32(i))
		s.allow(netip.AddrFrom4(ip), 1, now)
	}
	if len(s.at) != 100 || s.order.Len() != 100 {
		t.Errorf("%d sources remembered, %d in order", len(s.at), s.order.Len())
	}
}

// TestGateHasPlaces: so many handshakes are under way at most, a quarter of them of one public source;
// a place is given back once.
func TestGateHasPlaces(t *testing.T) {
	g := newGate(Config{MaxHalfOpen: 8}.withDefaults())
	enter := func(addr string, verified bool) (context.Context, context.CancelFunc, error) {
		ctx, cancel := context.WithCancel(t.Context())
		ctx, err := g.admit(ctx, &quic.ClientInfo{RemoteAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)), AddrVerified: verified})
		return ctx, cancel, err
	}
	first, cancel, err := enter("203.0.113.1:1", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := enter("203.0.113.1:2", true); err != nil {
		t.Error("a quarter of 8 is 2")
	}
	if _, _, err := enter("203.0.113.1:3", true); err == nil {
		t.Error("one source has more than a quarter")
	}
	for i := range 6 {
		if _, _, err := enter(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(i+1)).String(), false); err != nil {
			t.Errorf("home: %v", err)
		}
	}
	if _, _, err := enter("198.51.100.1:1", true); err == nil {
		t.Error("more than there are places")
	}
	if s := g.snapshot(); s.HalfOpen != 8 || s.Refused != 2 {
		t.Errorf("%+v", s)
	}
	leave(first)
	leave(first)
	cancel()
	waitFor(t, func() bool { return g.snapshot().HalfOpen == 7 })
	if !g.suspects(net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.9:1"))) {
		t.Error("with half of the places taken addresses need not prove themselves")
	}
}

// TestGatePaces: who proved an address and still comes too fast is refused; who did not must prove it.
func TestGatePaces(t *testing.T) {
	g := newGate(Config{MaxHalfOpen: 1 << 20, HandshakeRate: 1 << 20, SourceHandshakes: 2}.withDefaults())
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:1"))
	trusted := 0
	for range 100 {
		if !g.suspects(at) {
			trusted++
		}
	}
	if trusted < 9 || trusted > 20 {
		t.Errorf("%d handshakes at once without a retry, want about 9", trusted)
	}
	admitted := 0
	for range 100 {
		ctx, err := g.admit(t.Context(), &quic.ClientInfo{RemoteAddr: at, AddrVerified: true})
		if err == nil {
			admitted++
			leave(ctx)
		}
	}
	if admitted < 9 || admitted > 20 {
		t.Errorf("%d handshakes at once, want about 9", admitted)
	}
	if _, err := g.admit(t.Context(), &quic.ClientInfo{RemoteAddr: at}); err != nil {
		t.Error("an address that might be forged was held against its owner")
	}
}

// TestAbsentPeersWaitLonger: the wait doubles up to its most, with jitter, and ends when the peer is
// back; the memory is bounded.
func TestAbsentPeersWaitLonger(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a := newAbsent(time.Second, 8*time.Second)
	who := identity.Contact{Key: [32]byte{1}, Addr: netip.MustParseAddrPort("203.0.113.1:1")}
	moved := who
	moved.Addr = netip.MustParseAddrPort("203.0.113.2:1")
	for _, want := range []time.Duration{1, 2, 4, 8, 8} {
		a.failed(who, now)
		want *= time.Second
		if !a.waits(who, now.Add(want*7/8-1)) || a.waits(who, now.Add(want*9/8+1)) {
			t.Errorf("does not wait about %s", want)
		}
		if a.waits(moved, now) {
			t.Error("another address waits too")
		}
	}
	a.back(moved)
	if a.waits(who, now) {
		t.Error("a peer that is back waits")
	}
	for i := range 3 * maxAbsent {
		binary.BigEndian.PutUint64(who.Key[:], uint64(i))
		a.failed(who, now)
	}
	if len(a.peers) > maxAbsent {
		t.Errorf("%d remembered", len(a.peers))
	}
	off := newAbsent(-1, time.Second)
	if off.failed(who, now); off.waits(who, now) {
		t.Error("switched off, but waits")
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
