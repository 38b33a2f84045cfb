package quicnet

import (
	"context"
	"net/netip"
	"sync"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// claims remembers at which addresses this node has dialled which keys and found them. Where a peer is seen
// it cannot choose; where it asks to be dialled it can, and limits by network would be worth nothing if its
// word counted. So an address at another IP than the one it is seen at is used only once it is in here.
type claims struct {
	mu     sync.Mutex // guards below
	proven map[found]struct{}
}

// found is a key at an address.
type found struct {
	key sdk.NodeKey
	at  netip.AddrPort
}

// maxClaims bounds how many are remembered.
const maxClaims = 1024

// prove notes that a peer was found at the address it has.
func (c *claims) prove(who identity.Contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proven == nil {
		c.proven = map[found]struct{}{}
	}
	for old := range c.proven {
		if len(c.proven) < maxClaims {
			break
		}
		delete(c.proven, old)
	}
	c.proven[found{who.Key, who.Addr}] = struct{}{}
}

// fail notes that a peer was not found at the address it has.
func (c *claims) fail(who identity.Contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.proven, found{who.Key, who.Addr})
}

func (c *claims) holds(who identity.Contact) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, proven := c.proven[found{who.Key, who.Addr}]
	return proven
}

// locate gives a peer that is seen at an address, and asks to be dialled at another, the one to dial it at.
// claim is what it asks for if that has to be proven first, else the zero AddrPort.
func (n *Net) locate(p *Peer, listen netip.AddrPort) (claim netip.AddrPort) {
	p.Contact.Addr = p.Seen
	if p.Dialed {
		n.claims.prove(p.Contact)
	}
	switch ip := listen.Addr(); {
	case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || listen.Port() == 0:
		return netip.AddrPort{}
	case public(p.Seen.Addr()) && !public(ip): // it does not get to send anybody to a private one
		n.config.Refused(RefusedPrivate)
		return netip.AddrPort{}
	}
	asked := p.Contact
	asked.Addr = listen
	switch {
	case n.claims.holds(asked), !p.Dialed && listen.Addr() == p.Seen.Addr():
		p.Contact.Addr = listen
		return netip.AddrPort{}
	case !p.Dialed:
		p.Contact.Addr = netip.AddrPortFrom(p.Seen.Addr(), listen.Port())
	}
	return listen
}

// check dials the address that a connected peer claims, unless too many are being dialled on somebody's word.
// If the peer's key answers there, observers are told of the peer again, at that address.
func (n *Net) check(c *conn) {
	if !n.checks.enter(c.peer.Seen.Addr()) {
		return
	}
	defer n.checks.leave()
	ctx, cancel := context.WithTimeout(n.ctx, dialBackTime)
	defer cancel()
	p := c.peer
	p.Contact.Addr = c.claim
	if err := n.answers(ctx, n.tr, p.Contact); err != nil {
		n.config.Refused(RefusedClaim)
		n.log.Debug("a peer is not where it says", "peer", p.ID().Short(), "seen", p.Seen, "says", c.claim, "err", err)
		return
	}
	n.claims.prove(p.Contact)
	n.tellMet(p)
}
