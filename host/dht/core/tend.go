package core

import (
	"time"
)

// pingsAtOnce bounds how many pings of one round are under way.
const pingsAtOnce = 3

// pingsPerRound bounds what one round asks of silent contacts.
const pingsPerRound = 64

// PingDue asks peers that were not heard of for a while whether they live. done is called once.
func (c *Core) PingDue(now time.Time, done func(now time.Time)) *Task {
	r := &round{core: c, task: &Task{}, done: done}
	r.rest = c.book.due(now, pingsPerRound, c.config.PingAfter, c.config.RetryAfter, c.table.has)
	r.task.stop = r.finish
	r.advance(now)
	return r.task
}

// round is a round of pings under way.
type round struct {
	core    *Core
	task    *Task
	rest    []Node
	queries []Query
	running int
	done    func(time.Time)
}

func (r *round) advance(now time.Time) {
	for !r.task.over && r.running < pingsAtOnce && len(r.rest) > 0 {
		to := r.rest[0]
		r.rest = r.rest[1:]
		r.running++
		r.queries = append(r.queries, r.core.ask(now, to, Question{Kind: Ping}, func(now time.Time, _ Answer, _ bool) {
			r.running--
			r.advance(now)
		}))
	}
	if !r.task.over && r.running == 0 {
		r.finish(now)
	}
}

func (r *round) finish(now time.Time) {
	r.task.over = true
	for _, id := range r.queries {
		r.core.drop(id)
	}
	r.done(now)
}

// Explore looks for the nodes nearest to this one, and into the buckets that this cannot have filled:
// with fewer than K answers everybody was found, else everybody nearer than the farthest. done is
// called once.
//
// One of the wide buckets is looked into even if it is full: so it is known how dense the network is now.
func (c *Core) Explore(now time.Time, done func(now time.Time)) *Task {
	e := &exploration{core: c, task: &Task{}, next: c.config.PowBits, done: done}
	e.task.stop = func(now time.Time) {
		e.task.over = true
		c.Stop(now, e.current)
		done(now)
	}
	c.looked[c.config.PowBits+c.rng.IntN(wideBuckets)] = time.Time{}
	e.current = c.Lookup(now, c.own, func(now time.Time, f Found) {
		for _, n := range f.Nodes { // all of them: who is nearest has to know whom else to name
			if !c.table.has(n.Key) {
				c.offer(now, n)
			}
		}
		if len(f.Nodes) >= c.config.K {
			e.farthest = sharedBits(c.own, f.Nodes[c.config.K-1].At)
			if len(c.reaches.last) == 0 { // better than nothing, though our own id can be foreseen
				c.reaches.note(c.own, f.Nodes, c.config.K)
			}
		} else {
			e.next = bitsOf
		}
		e.advance(now)
	})
	return e.task
}

// wideBuckets is how many buckets are so wide that a point in them cannot be foreseen: who would be near to
// it would need about as many ids as all others have there.
const wideBuckets = 4

// exploration is a look around under way.
type exploration struct {
	core           *Core
	task           *Task
	current        *Task
	next, farthest int // buckets
	done           func(time.Time)
}

func (e *exploration) advance(now time.Time) {
	if e.task.over {
		return
	}
	for ; e.next <= e.farthest && e.next < bitsOf; e.next++ {
		if !e.core.worthExploring(now, e.next) {
			continue
		}
		target, wide := withPrefix(e.core.own, e.core.random(), e.next), e.next < e.core.config.PowBits+wideBuckets
		e.next++
		e.current = e.core.Lookup(now, target, func(now time.Time, f Found) {
			if wide {
				e.core.reaches.note(target, f.Nodes, e.core.config.K)
			}
			e.advance(now)
		})
		return
	}
	e.task.over = true
	e.done(now)
}

// worthExploring tells whether a bucket was not looked into for a while, and notes that it is now.
func (c *Core) worthExploring(now time.Time, i int) bool {
	if c.table.full(i) && now.Sub(c.looked[i]) < c.config.RefreshInterval {
		return false
	}
	c.looked[i] = now
	return true
}
