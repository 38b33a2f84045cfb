package core

import (
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Ask answers a peer's question. The pointers of StorePointers must be verified. Ping is answered by
// whoever knows the disk as well.
func (c *Core) Ask(now time.Time, from identity.Contact, q Question) Answer {
	switch q.Kind {
	case FindNode:
		return Answer{Nodes: c.closestFor(from, q.Target)}
	case FindPointers:
		found := c.pointers.find(sdk.TesseraID(q.Target), now)
		return Answer{Nodes: c.closestFor(from, q.Target), Pointers: found[:min(len(found), wire.MaxPointers)]}
	case StorePointers:
		return Answer{Stored: c.store(q.Pointers)}
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

// store keeps pointers. Whoever brings them: each is signed by its holder.
func (c *Core) store(verified []wire.Pointer) (stored int) {
	for _, p := range verified {
		if c.pointers.put(p) {
			stored++
		}
	}
	return stored
}
