package dht

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Announce tells the network that this node holds fragments of tesseras: signed pointers go to the
// nodes nearest to each id, in batches. It returns how many pointers were stored, over all nodes. A
// node that knows no other is ErrNobody.
func (d *DHT) Announce(ctx context.Context, tesseras []sdk.TesseraID) (stored int, err error) {
	self := d.net.Self()
	if len(tesseras) == 0 {
		return 0, nil
	}
	if !self.Addr.IsValid() {
		return 0, fmt.Errorf("announce: %w: no address to be dialled at is known yet", ErrNobody)
	}
	sorted := slices.Clone(tesseras)
	slices.SortFunc(sorted, func(a, b sdk.TesseraID) int { return compareDistance(ID{}, ID(a), ID(b)) })
	a := &announcement{dht: d, pending: map[identity.Contact][]*wire.SignedPointer{}}
	var near neighbourhood
	for _, id := range slices.Compact(sorted) {
		if !near.covers(ID(id)) {
			near = d.neighbours(ctx, ID(id))
		}
		if err := ctx.Err(); err != nil {
			return a.stored, fmt.Errorf("announce: %w", context.Cause(ctx))
		}
		p := wire.SignPointer(d.node, id, self, d.config.Now())
		d.keepOwn(p, near)
		a.add(p, near.closest(ID(id)))
		a.flush(ctx, wire.MaxPointers)
	}
	a.flush(ctx, 1)
	switch {
	case ctx.Err() != nil:
		return a.stored, fmt.Errorf("announce: %w", context.Cause(ctx))
	case a.stored == 0:
		return 0, fmt.Errorf("announce %d tesseras: %w", len(tesseras), ErrNobody)
	}
	return a.stored, nil
}

// keepOwn keeps a pointer here too when this node is among those that others will ask for it.
func (d *DHT) keepOwn(p wire.Pointer, near neighbourhood) {
	t := ID(p.Tessera)
	if n := near.closest(t); len(n) < d.config.K || compareDistance(t, d.own, ID(n[len(n)-1].ID())) < 0 {
		d.mu.Lock()
		d.pointers.put(p)
		d.mu.Unlock()
	}
}

// neighbourhood is what one lookup found, and the part of the id space in which it found everybody:
// lookups for other ids of that part can be spared.
type neighbourhood struct {
	looked bool
	center ID
	nodes  []placed
	shared int // leading bits that an id must share with the center
	k      int
}

func (d *DHT) neighbours(ctx context.Context, center ID) neighbourhood {
	n := neighbourhood{looked: true, center: center, k: d.config.K}
	for _, c := range d.lookup(ctx, center) {
		n.nodes = append(n.nodes, place(c))
	}
	if len(n.nodes) >= n.k { // all nodes that share more bits than the farthest were found
		n.shared = sharedBits(center, n.nodes[len(n.nodes)-1].id) + 1
	}
	return n
}

func (n *neighbourhood) covers(id ID) bool {
	return n.looked && sharedBits(n.center, id) >= n.shared
}

func (n *neighbourhood) closest(id ID) []identity.Contact {
	sorted := slices.Clone(n.nodes)
	sortByDistance(id, sorted)
	out := make([]identity.Contact, 0, n.k)
	for _, p := range sorted[:min(n.k, len(sorted))] {
		out = append(out, p.Contact)
	}
	return out
}

// announcement gathers pointers per node and sends them in batches.
type announcement struct {
	dht     *DHT
	pending map[identity.Contact][]*wire.SignedPointer
	stored  int
}

func (a *announcement) add(p wire.Pointer, nodes []identity.Contact) {
	m := p.Message()
	for _, c := range nodes {
		a.pending[c] = append(a.pending[c], m)
	}
}

// flush sends what waits for nodes that have at least so many pointers coming. A node that does not
// take them is no failure: others have them too, and the next round tries again.
func (a *announcement) flush(ctx context.Context, atLeast int) {
	var group errgroup.Group
	group.SetLimit(2 * a.dht.config.Alpha)
	counts := make(chan int, len(a.pending))
	for to, batch := range a.pending {
		if len(batch) < atLeast {
			continue
		}
		delete(a.pending, to)
		group.Go(func() error {
			counts <- a.dht.store(ctx, to, batch)
			return nil
		})
	}
	group.Wait()
	close(counts)
	for n := range counts {
		a.stored += n
	}
}

func (d *DHT) store(ctx context.Context, to identity.Contact, batch []*wire.SignedPointer) int {
	m, err := d.ask(ctx, to, &wire.StorePointers{Pointers: batch})
	if err != nil {
		d.config.Log.Debug("pointers not stored", "peer", to.ID().Short(), "err", err)
		return 0
	}
	ack, ok := m.(*wire.StoreAck)
	if !ok {
		return 0
	}
	return min(int(ack.GetStored()), len(batch))
}
