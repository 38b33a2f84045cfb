package dht

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Lookup finds the peers nearest to a point of the id space, nearest first, at most K. Each answered
// just now; where one is not remembered, its record holds the contact alone.
func (d *DHT) Lookup(ctx context.Context, target ID) []Known {
	return d.records(d.lookup(ctx, target))
}

func (d *DHT) lookup(ctx context.Context, target ID) []identity.Contact {
	return d.search(ctx, target, nil, func(ctx context.Context, to identity.Contact) ([]*wire.Contact, error) {
		m, err := d.ask(ctx, to, &wire.FindNode{Target: target[:]})
		if err != nil {
			return nil, err
		}
		nodes, ok := m.(*wire.Nodes)
		if !ok {
			return nil, errOffTopic
		}
		return nodes.GetNodes(), nil
	})
}

// FindHolders asks the network who holds a tessera, and this node's own store. Every pointer was
// verified, each holder comes once, nearest pointer stores first; where this node has met a holder at
// another address than the pointer says, the address is the met one.
func (d *DHT) FindHolders(ctx context.Context, tessera sdk.TesseraID) ([]wire.Pointer, error) {
	found := newHolders(d.node.Key())
	d.mu.Lock()
	found.add(d.pointers.find(tessera, d.config.Now()))
	d.mu.Unlock()
	asked := d.search(ctx, ID(tessera), found.any, func(ctx context.Context, to identity.Contact) ([]*wire.Contact, error) {
		m, err := d.ask(ctx, to, &wire.FindPointers{Tessera: tessera[:]})
		if err != nil {
			return nil, err
		}
		p, ok := m.(*wire.Pointers)
		if !ok {
			return nil, errOffTopic
		}
		found.add(d.verified(p.GetPointers(), &tessera))
		return p.GetCloser(), nil
	})
	if err := ctx.Err(); err != nil && len(found.list) == 0 {
		return nil, fmt.Errorf("find holders of %s: %w", tessera.Short(), context.Cause(ctx))
	}
	d.config.Log.Debug("found holders", "tessera", tessera.Short(), "holders", len(found.list), "asked", len(asked))
	return d.met(found.list), nil
}

var errOffTopic = errors.New("answer to another question")

// verified keeps the pointers that hold, and are for the tessera if one is given.
func (d *DHT) verified(in []*wire.SignedPointer, tessera *sdk.TesseraID) []wire.Pointer {
	out := make([]wire.Pointer, 0, len(in))
	for _, m := range in {
		p, err := wire.VerifyPointer(m, d.config.PowBits, d.config.Now())
		if err != nil || tessera != nil && p.Tessera != *tessera {
			d.config.Log.Debug("pointer dropped", "err", err)
			continue
		}
		out = append(out, p)
	}
	return out
}

// met gives pointers the addresses this node has met their holders at.
func (d *DHT) met(pointers []wire.Pointer) []wire.Pointer {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range pointers {
		if k := d.book.peers[pointers[i].Holder.Key]; k != nil && k.LastSeen.After(pointers[i].Time) {
			pointers[i].Holder.Addr = k.Contact.Addr
		}
	}
	return pointers
}

func (d *DHT) records(contacts []identity.Contact) []Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Known, len(contacts))
	for i, c := range contacts {
		out[i] = Known{Contact: c}
		if k := d.book.peers[c.Key]; k != nil {
			out[i] = *k
		}
	}
	return out
}

// question asks one contact and returns the closer ones it knows.
type question func(ctx context.Context, to identity.Contact) ([]*wire.Contact, error)

// reply is what came of a question.
type reply struct {
	from   *candidate
	closer []identity.Contact
	err    error
	late   bool // not a reply: the question was asked SlowAfter ago
}

// search runs an iterative lookup and returns the nearest that answered. Contacts that are slow are
// waited for a while when nobody else is left, unless enough says that this is not needed. It ends early
// with ctx, and leaves no goroutine behind.
func (d *DHT) search(ctx context.Context, target ID, enough func() bool, ask question) []identity.Contact {
	ctx, cancel := context.WithCancel(ctx)
	s := newSearch(target, d.node.Key(), d.config.K, d.start(target))
	replies := make(chan reply)
	running := 0
	defer func() {
		cancel()
		for ; running > 0; running-- {
			if r := <-replies; r.late {
				running++
			}
		}
	}()
	var grace <-chan time.Time
	for {
		for c := s.next(d.config.Alpha); c != nil; c = s.next(d.config.Alpha) {
			running++
			go d.inquire(ctx, c, ask, replies)
		}
		done, onlySlow := s.progress()
		if done {
			return s.nearest()
		}
		switch {
		case !onlySlow:
			grace = nil
		case enough != nil && enough():
			d.giveUp(s)
			return s.nearest()
		case grace == nil:
			grace = time.After(d.config.SlowAfter)
		}
		select {
		case r := <-replies:
			if !r.late {
				running--
			}
			d.take(s, r)
		case <-grace:
			d.giveUp(s)
			return s.nearest()
		case <-ctx.Done():
			return s.nearest()
		}
	}
}

// inquire asks one contact; a word that it is slow comes before the reply.
func (d *DHT) inquire(ctx context.Context, c *candidate, ask question, replies chan<- reply) {
	result := make(chan reply, 1)
	go func() {
		closer, err := ask(ctx, c.Contact)
		result <- reply{from: c, closer: d.plausible(closer, c.Contact), err: err}
	}()
	timer := time.NewTimer(d.config.SlowAfter)
	defer timer.Stop()
	select {
	case r := <-result:
		replies <- r
	case <-timer.C:
		replies <- reply{from: c, late: true}
		replies <- <-result
	}
}

func (d *DHT) take(s *search, r reply) {
	switch {
	case r.late:
		r.from.state = slow
	case r.err != nil:
		r.from.fail()
		d.config.Log.Debug("lookup: no answer", "peer", r.from.ID().Short(), "err", r.err)
	default:
		r.from.state = answered
		d.mu.Lock()
		defer d.mu.Unlock()
		var worth []identity.Contact
		for _, c := range r.closer {
			if d.worthAskingLocked(c) {
				worth = append(worth, c)
			}
		}
		s.add(worth)
	}
}

// giveUp goes on without the slow ones. Whether they are dead or only slow is asked in the background,
// and lookups leave them alone meanwhile.
func (d *DHT) giveUp(s *search) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range s.list {
		if c.state == slow {
			d.book.slow(c.Key, d.config.Now())
			d.pingLocked(c.Contact, func(error) {})
		}
	}
}

func (d *DHT) worthAskingLocked(c identity.Contact) bool {
	return d.book.worthAsking(c.Key, d.config.Now().Add(-d.config.RetryAfter))
}

// start is where a lookup begins: the nearest contacts of the table that are not known to be silent.
func (d *DHT) start(target ID) []identity.Contact {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table.closest(target, d.config.K, d.worthAskingLocked)
}

// plausible keeps the contacts that somebody may believe: well-formed, with their proof of work, and
// no private address from a peer on a public one.
func (d *DHT) plausible(in []*wire.Contact, from identity.Contact) []identity.Contact {
	out := make([]identity.Contact, 0, len(in))
	for _, m := range in {
		c, err := m.Parse()
		if err != nil || !identity.CheckWork(c.ID(), d.config.PowBits) {
			continue
		}
		if public(from.Addr.Addr()) && !public(c.Addr.Addr()) {
			continue
		}
		out = append(out, c)
	}
	return out
}
