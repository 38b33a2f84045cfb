package quicnet

import (
	"net/netip"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// guests counts whose requests are being served, so that neither one key nor one network has all the
// places. The pool's mutex guards it.
type guests struct {
	places   int // connections of the pool
	requests int // that a peer may have served at once, over all its connections

	all    int // requests being served
	byPeer map[sdk.NodeKey]int
	byNet  map[netip.Prefix]int // connections with requests being served
}

func newGuests(places, requests int) guests {
	return guests{places: places, requests: requests, byPeer: map[sdk.NodeKey]int{}, byNet: map[netip.Prefix]int{}}
}

// admit counts one more request over a connection, unless its peer or the peer's network has its share, or
// limit are served in all and the peer has one of them. QUIC bounds what comes over one connection; what
// comes over two is bounded here.
func (g *guests) admit(c *conn, limit int) bool {
	key, from := c.peer.Contact.Key, identity.Subnet(c.peer.Seen.Addr())
	switch mine := g.byPeer[key]; {
	case g.all >= limit && mine > 0,
		mine > c.serving && mine >= g.requests,
		c.serving == 0 && g.byNet[from] >= g.share(c.peer.Seen.Addr()):
		return false
	}
	if c.serving == 0 {
		g.byNet[from]++
	}
	c.serving++
	g.byPeer[key]++
	g.all++
	return true
}

// leave takes back what admit counted.
func (g *guests) leave(c *conn) {
	key, from := c.peer.Contact.Key, identity.Subnet(c.peer.Seen.Addr())
	if c.serving--; c.serving == 0 {
		drop(g.byNet, from)
	}
	drop(g.byPeer, key)
	g.all--
}

// share is how many connections of one subnet may be in use for requests of theirs at once: a quarter of
// the pool. At home, where many nodes are behind one address, it is half.
func (g *guests) share(addr netip.Addr) int {
	if public(addr) {
		return max(g.places/4, 2)
	}
	return max(g.places/2, 2)
}

// drop counts one less, and forgets who has none.
func drop[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}
