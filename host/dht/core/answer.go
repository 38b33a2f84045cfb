package core

import (
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Ask answers the question of a peer, which has the address where it is seen. The pointers of
// StorePointers must be verified. Ping is answered by whoever knows the disk as well.
func (c *Core) Ask(now time.Time, from identity.Contact, q Question) Answer {
	switch q.Kind {
	case FindNode:
		return Answer{Nodes: c.closestFor(from, q.Target)}
	case FindPointers:
		found := credible(c.pointers.find(sdk.TesseraID(q.Target), now), from.Addr, holderAddr)
		return Answer{Nodes: c.closestFor(from, q.Target), Pointers: found[:min(len(found), wire.MaxPointers)]}
	case StorePointers:
		return Answer{Stored: c.store(from, q.Pointers)}
	}
	return Answer{}
}

// closestFor lists the live contacts nearest to a target, but not the asker, and to one on a public
// address none that is private.
func (c *Core) closestFor(asker identity.Contact, target ID) []Node {
	return c.table.closest(c.spot(target), c.config.K, func(n Node) bool {
		private := public(asker.Addr.Addr()) && !public(n.Addr.Addr())
		return n.Key != asker.Key && !private && c.book.alive(n.Key)
	})
}

// store keeps the pointers of a peer to itself. Those to others are refused: a holder speaks for itself
// only, else one stranger could fill the slots of a tessera with keys made for it. So is, from a peer on
// a public address, a private one.
func (c *Core) store(from identity.Contact, verified []wire.Pointer) (stored int) {
	for _, p := range credible(verified, from.Addr, holderAddr) {
		if p.Holder.Key == from.Key && c.pointers.put(p, from.Addr.Addr()) {
			stored++
		}
	}
	return stored
}
