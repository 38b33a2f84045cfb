package dht

import (
	"context"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Lookup finds the peers nearest to a point of the id space, nearest first, at most K. Each answered
// just now; where one is not remembered, its record holds the contact alone.
func (d *DHT) Lookup(ctx context.Context, target ID) (peers []Known) {
	d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.Lookup(now, target, func(_ time.Time, f core.Found) {
			peers = d.recordsLocked(f.Nodes[:min(len(f.Nodes), d.core.K())])
			done()
		})
	})
	return peers
}

func (d *DHT) recordsLocked(nodes []core.Node) []Known {
	out := make([]Known, len(nodes))
	for i, n := range nodes {
		known, met := d.core.Peer(n.Key)
		if !met {
			known = Known{Contact: n.Contact}
		}
		out[i] = known
	}
	return out
}

// FindHolders asks the network who holds a tessera, and this node's own store. Every pointer was
// verified, each holder comes once, those that many told of first, equals in any order; where this node has met
// a holder at another address than the pointer says, the address is the met one.
func (d *DHT) FindHolders(ctx context.Context, tessera sdk.TesseraID) (found []wire.Pointer, err error) {
	asked := 0
	err = d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.FindHolders(now, tessera, func(_ time.Time, f core.Found) {
			found, asked = f.Pointers, f.Asked
			done()
		})
	})
	if err != nil && len(found) == 0 {
		return nil, fmt.Errorf("find holders of %s: %w", tessera.Short(), context.Cause(ctx))
	}
	d.config.Log.Debug("found holders", "tessera", tessera.Short(), "holders", len(found), "asked", asked)
	return found, nil
}
