package quicnet

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// seen is a connection of a peer that is seen at an address.
func seen(key byte, at string) *conn {
	c := fake(key, 7, false)
	c.peer.Seen = netip.AddrPortFrom(netip.MustParseAddr(at), 4433)
	return c
}

// TestAPeerHasTwoConnections at most: of three the oldest goes, even when it is in use.
func TestAPeerHasTwoConnections(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 16, 32)
	var before []*conn
	for i := range 5 {
		c := fake(1, 7, false)
		surplus, _ := enter(t, p, c)
		if i < 2 && surplus != nil || i >= 2 && surplus != before[i-2] {
			t.Errorf("connection %d: %v has to go", i, surplus)
		}
		if !p.begin(c, 512) {
			t.Errorf("connection %d: no request is served", i)
		}
		before = append(before, c)
	}
	if s, peers := p.snapshot(); s.Size != 2 || s.Active != 2 || len(peers) != 1 {
		t.Errorf("%+v, %d peers", s, len(peers))
	}
	if p.acquire(sdk.NodeKey{1}) != before[4] {
		t.Error("the newest is not the one for new requests")
	}
}

// TestRequestsAreCountedByPeer, over all of its connections.
func TestRequestsAreCountedByPeer(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 16, 3)
	old, young, other := fake(1, 7, false), fake(1, 7, false), fake(2, 7, false)
	for _, c := range []*conn{old, young, other} {
		enter(t, p, c)
	}
	for i, want := range []struct {
		over *conn
		ok   bool
	}{{old, true}, {old, true}, {young, true}, {young, false}, {old, false}, {other, true}} {
		if got := p.begin(want.over, 512); got != want.ok {
			t.Errorf("request %d: %v", i, got)
		}
	}
	p.end(old)
	if !p.begin(young, 512) {
		t.Error("what ended still counts")
	}
}

// TestANetworkHasAShare: of the connections in use a subnet has a quarter, and a home half.
func TestANetworkHasAShare(t *testing.T) {
	for name, c := range map[string]struct {
		at   func(i int) string
		want int
	}{
		"one address":   {func(int) string { return "203.0.113.1" }, 4},
		"one IPv4 /24":  {func(i int) string { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String() }, 4},
		"one IPv6 /48":  {func(i int) string { return netip.MustParseAddr("2001:db8:7::").Next().String() }, 4},
		"this computer": {func(int) string { return "127.0.0.1" }, 8},
		"many networks": {func(i int) string { return netip.AddrFrom4([4]byte{198, 51, byte(i), 1}).String() }, 12},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(sdk.NodeKey{100}, 16, 32)
			var served []*conn
			for i := range 12 {
				c := seen(byte(i+1), c.at(i))
				enter(t, p, c)
				if p.begin(c, 512) {
					served = append(served, c)
				}
			}
			if len(served) != c.want {
				t.Fatalf("%d of 16 are in use, want %d", len(served), c.want)
			}
			if !p.begin(served[0], 512) {
				t.Error("one that is in use may not have a second request")
			}
			if elsewhere := seen(99, "192.0.2.1"); !p.begin(elsewhere, 512) {
				t.Error("another network is kept out")
			}
			p.end(served[0])
			p.end(served[0])
			if again := seen(98, c.at(0)); !p.begin(again, 512) {
				t.Error("what ended still counts")
			}
		})
	}
}

// TestPlacesAreKeptForDials: who dials us does not get the last eighth, and gives way to another only.
func TestPlacesAreKeptForDials(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 16, 32)
	for i := range 14 {
		c := seen(byte(i+1), netip.AddrFrom4([4]byte{198, 51, byte(i), 1}).String())
		enter(t, p, c)
		p.begin(c, 512)
	}
	if _, err := p.reserve(false); !errors.Is(err, ErrFull) {
		t.Errorf("a fifteenth that dials us: %v", err)
	}
	for i := range 2 {
		if surplus, evicted := enter(t, p, fake(byte(50+i), 7, true)); surplus != nil || evicted != nil {
			t.Errorf("dial %d: somebody has to go", i)
		}
	}
	p.end(onlyOne(t, p, 3))
	if _, evicted := enter(t, p, fake(60, 7, false)); evicted == nil || evicted.peer.Dialed {
		t.Errorf("room is made by %v", evicted)
	}
	if _, evicted := enter(t, p, fake(61, 7, true)); evicted == nil {
		t.Error("more than there are places")
	}
}

// onlyOne is a peer's connection.
func onlyOne(t *testing.T, p *pool, key byte) *conn {
	t.Helper()
	c := p.acquire(sdk.NodeKey{key})
	if c == nil {
		t.Fatalf("peer %d has no connection", key)
	}
	p.release(c)
	return c
}
