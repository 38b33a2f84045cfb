package core

import (
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Task is something under way that can be stopped; it then ends with what there is.
type Task struct {
	stop func(now time.Time)
	over bool
}

// Stop ends a task, if it has not ended.
func (c *Core) Stop(now time.Time, t *Task) {
	if t != nil && !t.over && t.stop != nil {
		t.stop(now)
	}
}

// Found is the result of a lookup.
type Found struct {
	Nodes    []Node         // that answered, nearest first
	Pointers []wire.Pointer // one per holder, the newest; those that many told of first
	Asked    int            // questions
	Hops     int            // answers it took to learn of the nearest
}

// lookup is one lookup under way.
type lookup struct {
	core   *Core
	task   *Task
	what   Question
	search *search
	found  *holders // nil for a lookup of nodes
	done   func(time.Time, Found)

	queries []Query // under way, in the order they were asked
	asked   int
	grace   int // counts waits for slow peers; odd while one is under way
}

// Lookup finds the nodes nearest to a target: K of them, or more where their ids lie suspiciously near to
// the target or far from it. done is called once, maybe before Lookup returns.
func (c *Core) Lookup(now time.Time, target ID, done func(now time.Time, f Found)) *Task {
	return c.begin(now, FindNode, target, nil, done)
}

// FindHolders finds who holds a tessera: pointers that this node keeps, and those kept by the nodes
// nearest to its id. Once some are found it does not wait for peers that are slow.
func (c *Core) FindHolders(now time.Time, t sdk.TesseraID, done func(now time.Time, f Found)) *Task {
	found := newHolders(c.self, t)
	found.add(c.pointers.find(t, now))
	return c.begin(now, FindPointers, ID(t), found, done)
}

func (c *Core) begin(now time.Time, kind Kind, target ID, found *holders, done func(time.Time, Found)) *Task {
	l := &lookup{core: c, task: &Task{}, what: Question{Kind: kind, Target: target}, found: found, done: done}
	most := 3 * c.config.K
	l.search = newSearch(c.spot(target), c.self, c.config.K, c.config.Paths, c.start(now, target, most))
	l.search.crowd = c.config.PerLookup
	l.search.most = most
	l.search.least, l.search.widest = c.reaches.bounds()
	l.task.stop = l.finish
	l.core.timers.after(now, c.config.LookupTime, func(now time.Time) {
		if !l.task.over {
			l.giveUp(now)
		}
	})
	l.advance(now)
	return l.task
}

// start is where a lookup begins: the nearest contacts of the table that are not known to be silent, or if all
// are, the nearest of these: maybe it was this node that heard nobody.
func (c *Core) start(now time.Time, target ID, n int) []Node {
	some := c.table.closest(c.spot(target), n, func(n Node) bool { return c.worthAsking(now, n) })
	if len(some) == 0 {
		some = c.table.closest(c.spot(target), n, nil)
	}
	return some
}

func (c *Core) worthAsking(now time.Time, n Node) bool {
	return c.book.worthAsking(n.Contact, now.Add(-c.config.RetryAfter))
}

// advance asks whom there is to ask, and ends the lookup when that is nobody.
func (l *lookup) advance(now time.Time) {
	if l.task.over {
		return
	}
	for s := l.search.next(l.core.config.Alpha); s != nil; s = l.search.next(l.core.config.Alpha) {
		l.inquire(now, s)
	}
	done, onlySlow := l.search.progress()
	switch {
	case done:
		l.finish(now)
	case !onlySlow:
		l.grace += l.grace % 2
	case l.found.any():
		l.giveUp(now)
	case l.grace%2 == 0:
		l.wait(now)
	}
}

// wait gives slow peers their last chance, and a longer one while nobody is left to ask but doubted ones:
// maybe it is this node that is slow. It begins anew with every answer.
func (l *lookup) wait(now time.Time) {
	l.grace++
	begun, patience := l.grace, l.core.config.SlowAfter
	if slices.ContainsFunc(l.search.list, (*candidate).doubted) {
		patience *= 3
	}
	l.core.timers.after(now, patience, func(now time.Time) {
		if l.grace == begun && !l.task.over {
			l.giveUp(now)
		}
	})
}

// inquire asks one candidate.
func (l *lookup) inquire(now time.Time, to *candidate) {
	l.asked++
	asking := false
	var id Query
	id = l.core.ask(now, to.Node, l.what, func(now time.Time, a Answer, ok bool) {
		asking = false
		l.queries = slices.DeleteFunc(l.queries, func(q Query) bool { return q == id })
		l.take(now, to, a, ok)
	})
	asking = true
	l.queries = append(l.queries, id)
	lateAfter := l.core.config.SlowAfter / 4
	l.core.timers.after(now, lateAfter, func(now time.Time) {
		if !asking || l.task.over {
			return
		}
		to.become(late)
		l.core.timers.after(now, l.core.config.SlowAfter-lateAfter, func(now time.Time) {
			if asking && !l.task.over {
				to.become(slow)
				l.advance(now)
			}
		})
		l.advance(now)
	})
}

// take takes what came of a question.
func (l *lookup) take(now time.Time, from *candidate, a Answer, ok bool) {
	if !ok {
		from.fail()
		l.advance(now)
		return
	}
	from.become(answered)
	l.grace += l.grace % 2
	if l.found != nil {
		l.found.add(a.Pointers)
	}
	worth := slices.DeleteFunc(slices.Clone(a.Nodes), func(n Node) bool { return !l.core.worthAsking(now, n) })
	l.search.learn(from, worth)
	l.advance(now)
}

// giveUp goes on without the slow ones. Whether those of them that were met are dead or only slow is asked
// in the background, and lookups leave them alone meanwhile.
func (l *lookup) giveUp(now time.Time) {
	for _, s := range l.search.list {
		if s.state == slow && l.core.book.slow(s.Contact, now) {
			l.core.pingQuietly(now, s.Node, func(bool) {})
		}
	}
	l.finish(now)
}

func (l *lookup) finish(now time.Time) {
	l.task.over = true
	for _, id := range l.queries {
		l.core.drop(id)
	}
	f := Found{Nodes: l.search.nearest(), Asked: l.asked, Hops: l.search.hops()}
	if l.found != nil {
		f.Pointers = l.core.whereMet(l.found.list(l.core.rng))
	}
	l.core.offerFound(now, f.Nodes)
	l.search = nil // timers still know the lookup for a while
	l.done(now, f)
}

// whereMet gives pointers the addresses at which their holders were met since.
func (c *Core) whereMet(pointers []wire.Pointer) []wire.Pointer {
	for i := range pointers {
		if k := c.book.peers[pointers[i].Holder.Key]; k != nil && k.LastSeen.After(pointers[i].Time) {
			pointers[i].Holder.Addr = k.Contact.Addr
		}
	}
	return pointers
}

// PingPeer asks whether a peer is alive. done is called once.
func (c *Core) PingPeer(now time.Time, to identity.Contact, done func(now time.Time, a Answer, ok bool)) *Task {
	task := &Task{}
	id := c.ask(now, Place(to), Question{Kind: Ping}, func(now time.Time, a Answer, ok bool) {
		task.over = true
		done(now, a, ok)
	})
	task.stop = func(now time.Time) {
		task.over = true
		c.drop(id)
		done(now, Answer{}, false)
	}
	return task
}
