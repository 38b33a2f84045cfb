package core

import (
	"bytes"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Announced is what came of an announcement.
type Announced struct {
	Stored int  // pointers, over all nodes
	NoAddr bool // nothing was announced: no address to be dialled at is known
}

// Announce tells the network that this node holds fragments of tesseras: signed pointers go to the
// nodes nearest to each id, in the order of the ids, in batches. done is called once.
func (c *Core) Announce(now time.Time, tesseras []sdk.TesseraID, done func(now time.Time, a Announced)) *Task {
	rest := slices.Clone(tesseras)
	slices.SortFunc(rest, func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) })
	a := &announcement{core: c, task: &Task{}, rest: slices.Compact(rest), pending: map[identity.Contact]*batch{}, done: done}
	a.task.stop = a.finish
	a.advance(now)
	return a.task
}

// announcement is one under way: it looks for the neighbourhood of the next tessera, or stores what
// was gathered for nodes.
type announcement struct {
	core    *Core
	task    *Task
	current *Task // the lookup under way
	looking bool
	rest    []sdk.TesseraID
	near    neighbourhood

	pending map[identity.Contact]*batch
	order   []*batch // of pending, as they were begun
	ready   []*batch // to be stored
	queries []Query
	running int

	result Announced
	done   func(time.Time, Announced)
}

type batch struct {
	to       Node
	pointers []wire.Pointer
}

func (a *announcement) advance(now time.Time) {
	for !a.task.over && !a.looking {
		a.storeReady(now)
		switch {
		case len(a.ready) > 0:
			return // a batch that ends goes on here
		case len(a.rest) > 0 && a.near.covers(a.core.spot(ID(a.rest[0]))):
			a.add(now)
		case len(a.rest) > 0:
			a.look(now)
		case len(a.order) > 0:
			a.ready, a.order = append(a.ready, a.order...), nil
			clear(a.pending)
		case a.running > 0:
			return
		default:
			a.finish(now)
		}
	}
}

// look finds the neighbourhood of the next tessera.
func (a *announcement) look(now time.Time) {
	center := ID(a.rest[0])
	a.looking = true
	within := true // the call of Lookup: then the caller goes on by itself
	a.current = a.core.Lookup(now, center, func(now time.Time, f Found) {
		a.looking = false
		a.near = newNeighbourhood(a.core.spot(center), f.Nodes, a.core.config.K)
		if !within {
			a.advance(now)
		}
	})
	within = false
}

// add signs the pointer to the next tessera and gathers it for its nodes; where this node is among
// those that others will ask for it, it keeps it too.
func (a *announcement) add(now time.Time) {
	t := a.rest[0]
	a.rest = a.rest[1:]
	if a.core.config.Sign == nil {
		return
	}
	p, ok := a.core.config.Sign(t, now)
	if !ok {
		a.result.NoAddr = true
		a.finish(now)
		return
	}
	nodes := a.near.closest(a.core.spot(ID(t)))
	k := a.core.config.K
	if len(nodes) < k || compareDistance(ID(t), a.core.own, nodes[k-1].At) < 0 {
		a.core.pointers.put(p, p.Holder.Addr.Addr())
	}
	for _, n := range nodes {
		a.gather(n, p)
	}
}

func (a *announcement) gather(to Node, p wire.Pointer) {
	b := a.pending[to.Contact]
	if b == nil {
		b = &batch{to: to}
		a.pending[to.Contact] = b
		a.order = append(a.order, b)
	}
	if b.pointers = append(b.pointers, p); len(b.pointers) == wire.MaxPointers {
		delete(a.pending, to.Contact)
		a.order = slices.DeleteFunc(a.order, func(o *batch) bool { return o == b })
		a.ready = append(a.ready, b)
	}
}

// storeReady sends batches, a few at a time. A node that does not take them is no failure: others have
// them too, and the next round tries again.
func (a *announcement) storeReady(now time.Time) {
	for len(a.ready) > 0 && a.running < 2*a.core.config.Alpha {
		b := a.ready[0]
		a.ready = a.ready[1:]
		a.running++
		a.queries = append(a.queries, a.core.ask(now, b.to, Question{Kind: StorePointers, Pointers: b.pointers}, func(now time.Time, answer Answer, _ bool) {
			a.running--
			a.result.Stored += min(answer.Stored, len(b.pointers))
			a.advance(now)
		}))
	}
}

func (a *announcement) finish(now time.Time) {
	a.task.over = true
	a.core.Stop(now, a.current)
	for _, id := range a.queries {
		a.core.drop(id)
	}
	a.done(now, a.result)
}

// neighbourhood is what one lookup found, and the part of the id space in which it found everybody:
// lookups for other ids of that part can be spared.
type neighbourhood struct {
	looked bool
	center ID
	nodes  []Node
	shared int // leading bits that an id must share with the center
}

func newNeighbourhood(center ID, nodes []Node, k int) neighbourhood {
	n := neighbourhood{looked: true, center: center, nodes: nodes}
	if len(nodes) >= k { // all nodes that share more bits than the farthest were found
		n.shared = sharedBits(center, nodes[len(nodes)-1].At) + 1
	}
	return n
}

func (n *neighbourhood) covers(id ID) bool {
	return n.looked && sharedBits(n.center, id) >= n.shared
}

func (n *neighbourhood) closest(id ID) []Node {
	sorted := slices.Clone(n.nodes)
	sortByDistance(id, sorted)
	return sorted
}
