package core

import (
	"container/heap"
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// world is a network of cores in one goroutine: messages take their time, time jumps from event to
// event, and one seed decides everything.
type world struct {
	rng   *rand.Rand
	now   time.Time
	queue eventQueue
	seq   uint64
	nodes []*citizen
	byKey map[sdk.NodeKey]*citizen
	mob   []Node        // the hostile ones
	gangs map[ID][]Node // of these, the nearest to targets asked for lately
	// ghosts has hostile nodes tell of contacts next to the target behind which nobody is.
	ghosts bool
	talk   map[[2]int]time.Time // when two last spoke, at least of those that are connected
	prune  int                  // how many of these are too many
	asked  int
	trace  hash.Hash64 // of all that was said
}

// citizen is one node.
type citizen struct {
	*Core
	world   *world
	index   int
	self    Node
	down    bool
	hostile bool
	wakes   time.Time // when its next tick is scheduled
}

type event struct {
	at  time.Time
	seq uint64
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q eventQueue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].seq < q[j].seq
}
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return last
}

// How a world behaves.
const (
	leastLatency = 5 * time.Millisecond
	mostLatency  = 80 * time.Millisecond
	deadAfter    = 3 * time.Second // a dial without an answer
	poolIdle     = 2 * time.Minute // a connection without talk is closed
	bootstraps   = 5               // nodes on a newcomer's list
)

func newWorld(seed uint64) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		byKey: map[sdk.NodeKey]*citizen{}, gangs: map[ID][]Node{}, talk: map[[2]int]time.Time{}, trace: fnv.New64a(),
	}
}

// after schedules something.
func (w *world) after(wait time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now.Add(wait), w.seq, do})
}

// run lets a time pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

// until runs until a condition holds; false when an hour passes without it.
func (w *world) until(ok func() bool) bool {
	for end := w.now.Add(time.Hour); !ok() && len(w.queue) > 0 && w.now.Before(end); {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	return ok()
}

func (w *world) random() (id ID) {
	for i := 0; i < 32; i += 8 {
		binary.BigEndian.PutUint64(id[i:], w.rng.Uint64())
	}
	return id
}

// settler says how a node joins.
type settler struct {
	at      ID             // zero: at random
	addr    netip.AddrPort // zero: in a subnet of its own
	hostile bool
	trusts  bool // joins through an honest node
	config  Config
}

// settle adds a node, which does not know anybody.
func (w *world) settle(s settler) *citizen {
	n := len(w.nodes)
	if s.at == (ID{}) {
		s.at = w.random()
	}
	if !s.addr.IsValid() {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 0x10000001+uint32(n)<<8)
		s.addr = netip.AddrPortFrom(netip.AddrFrom4(ip), 4433)
	}
	c := &citizen{world: w, index: n, hostile: s.hostile}
	binary.BigEndian.PutUint64(c.self.Key[:], uint64(n)+1)
	c.self.Addr, c.self.At = s.addr, s.at
	s.config.MaxPeers = 192
	s.config.Sign = func(t sdk.TesseraID, now time.Time) (wire.Pointer, bool) {
		return wire.Pointer{Tessera: t, Holder: c.self.Contact, Time: now, Expires: now.Add(wire.PointerLife)}, true
	}
	c.Core = New(c.self, s.config, rand.New(rand.NewPCG(w.rng.Uint64(), uint64(n))))
	w.nodes = append(w.nodes, c)
	w.byKey[c.self.Key] = c
	if s.hostile {
		w.mob = append(w.mob, c.self)
		clear(w.gangs)
	}
	return c
}

// arrive adds a node whose bootstrap list names some earlier nodes at random, hostile or not, or one that
// its operator trusts.
func (w *world) arrive(s settler) *citizen {
	var list []*citizen
	for range min(bootstraps, len(w.nodes)) {
		list = append(list, w.nodes[w.rng.IntN(len(w.nodes))])
	}
	if s.trusts && len(w.nodes) > 0 {
		list = append(list[:0], w.honest())
	}
	c := w.settle(s)
	if s.hostile { // it knows the network already, and shows itself to many
		for range 40 {
			w.meet(c, w.honest())
		}
	} else {
		w.join(c, list...)
	}
	w.run(20 * time.Millisecond)
	return c
}

// join lets a node meet others and look around.
func (w *world) join(c *citizen, through ...*citizen) {
	for _, t := range through {
		w.meet(c, t)
	}
	c.do(func(now time.Time) { c.Explore(now, func(time.Time) {}) })
}

// found makes a network: every node joins through earlier ones, and later looks around once more.
func (w *world) found(settlers ...settler) {
	for _, s := range settlers {
		w.arrive(s)
	}
	w.run(time.Minute)
	w.stroll()
}

// stroll has every node look around and ping whom it has not heard of.
func (w *world) stroll() {
	for _, c := range w.nodes {
		if c.down || c.hostile {
			continue
		}
		c.do(func(now time.Time) {
			c.PingDue(now, func(time.Time) {})
			c.Explore(now, func(time.Time) {})
		})
		w.run(20 * time.Millisecond)
	}
	w.run(time.Minute)
}

// meet notes talk on a connection, and on both sides a connection that is new.
func (w *world) meet(a, b *citizen) {
	pair := [2]int{min(a.index, b.index), max(a.index, b.index)}
	last, open := w.talk[pair]
	w.talk[pair] = w.now
	w.forgetTalk()
	if open && w.now.Sub(last) < poolIdle {
		return
	}
	a.do(func(now time.Time) { a.Met(now, Peer{Node: b.self}) })
	b.do(func(now time.Time) { b.Met(now, Peer{Node: a.self}) })
}

// forgetTalk drops what is said of connections that are closed, once there is much of it.
func (w *world) forgetTalk() {
	if len(w.talk) < w.prune {
		return
	}
	for pair, last := range w.talk {
		if w.now.Sub(last) >= poolIdle {
			delete(w.talk, pair)
		}
	}
	w.prune = 2*len(w.talk) + 1000
}

// do gives a node an input and carries out what it asks for.
func (c *citizen) do(input func(now time.Time)) {
	input(c.world.now)
	c.Dropped()
	for _, send := range c.Outbox() {
		c.world.carry(c, send)
	}
	next, ok := c.Next()
	if !ok || !c.wakes.IsZero() && !next.Before(c.wakes) {
		return
	}
	c.wakes = next
	c.world.after(next.Sub(c.world.now), func() {
		if c.wakes.Equal(next) {
			c.wakes = time.Time{}
			c.do(c.Tick)
		}
	})
}

func (w *world) latency() time.Duration {
	return leastLatency + time.Duration(w.rng.Int64N(int64(mostLatency-leastLatency)))
}

// carry brings a question to its peer and the answer back.
func (w *world) carry(from *citizen, s Send) {
	w.asked++
	w.note(from, s)
	w.after(w.latency(), func() {
		to := w.byKey[s.To.Key]
		if to == nil || to.down || from.down || to.self.Addr != s.To.Addr {
			w.after(deadAfter, func() { from.do(func(now time.Time) { from.Failed(now, s.Query, Silence) }) })
			return
		}
		w.meet(from, to)
		a := to.answer(from, s.Question)
		w.after(w.latency(), func() { from.do(func(now time.Time) { from.Answered(now, s.Query, a) }) })
	})
}

func (w *world) note(from *citizen, s Send) {
	var b [28]byte
	binary.BigEndian.PutUint64(b[:], uint64(w.now.UnixNano()))
	binary.BigEndian.PutUint64(b[8:], uint64(from.index)<<8|uint64(s.Kind))
	copy(b[16:24], s.To.Key[:])
	copy(b[24:], s.Target[:])
	w.trace.Write(b[:])
}

// answer is what a node says. Hostile ones send everybody to their own, know nothing, and forget what
// they promise to keep.
func (c *citizen) answer(from *citizen, q Question) Answer {
	if !c.hostile {
		return c.Ask(c.world.now, from.self.Contact, q)
	}
	switch q.Kind {
	case FindNode, FindPointers:
		if c.world.ghosts {
			return Answer{Nodes: c.world.nobodies(q.Target)}
		}
		return Answer{Nodes: c.world.accomplices(q.Target)}
	case StorePointers:
		return Answer{Stored: len(q.Pointers)}
	}
	return Answer{}
}

// nobodies are twenty new contacts next to a target, each in a subnet of its own, where nobody answers.
func (w *world) nobodies(target ID) (out []Node) {
	for range 20 {
		w.seq++
		var c identity.Contact
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 0x60000001+uint32(w.seq)<<8&0x0fffff00)
		c.Addr = netip.AddrPortFrom(netip.AddrFrom4(ip), 4433)
		binary.BigEndian.PutUint64(c.Key[:], 1<<40+w.seq)
		at := w.random()
		copy(at[:4], target[:4])
		out = append(out, Node{c, at})
	}
	return out
}

// accomplices are the twenty hostile nodes nearest to a target.
func (w *world) accomplices(target ID) []Node {
	near, known := w.gangs[target]
	if known {
		return near
	}
	near = make([]Node, 0, 21)
	for _, n := range w.mob {
		if len(near) == 20 && compareDistance(target, n.At, near[19].At) > 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(near, n, func(a, b Node) int { return compareDistance(target, a.At, b.At) })
		near = slices.Insert(near, i, n)[:min(20, len(near)+1)]
	}
	if len(w.gangs) >= 1000 {
		clear(w.gangs)
	}
	w.gangs[target] = near
	return near
}

// nearest is the truth about a target: the live honest node nearest to it, but not the asker.
func (w *world) nearest(target ID, asker *citizen) Node {
	var best *citizen
	for _, c := range w.nodes {
		if c == asker || c.down || c.hostile {
			continue
		}
		if best == nil || compareDistance(target, c.self.At, best.self.At) < 0 {
			best = c
		}
	}
	return best.self
}

// honest draws a live honest node.
func (w *world) honest() *citizen {
	for {
		if c := w.nodes[w.rng.IntN(len(w.nodes))]; !c.hostile && !c.down {
			return c
		}
	}
}

// places counts those in the tables of honest nodes, and those of them that hostile ones have.
func (w *world) places() (all, theirs int) {
	for _, c := range w.nodes {
		if c.hostile {
			continue
		}
		for key := range c.table.at {
			all++
			if w.byKey[key].hostile {
				theirs++
			}
		}
	}
	return all, theirs
}

// lookups runs many lookups of random targets and tells how many found the truly nearest honest node,
// and how many hops each took.
func (w *world) lookups(t *testing.T, n int) (good int, hops []int) {
	t.Helper()
	for range n {
		asker, target := w.honest(), w.random()
		var f *Found
		asker.do(func(now time.Time) { asker.Lookup(now, target, func(_ time.Time, found Found) { f = &found }) })
		if !w.until(func() bool { return f != nil }) {
			t.Fatal("a lookup does not end")
		}
		want := w.nearest(target, asker)
		if slices.ContainsFunc(f.Nodes, func(n Node) bool { return n.Key == want.Key }) {
			good++
		}
		hops = append(hops, f.Hops)
	}
	return good, hops
}

// publish announces tesseras, each by an honest node, and returns the holders.
func (w *world) publish(t *testing.T, ids []sdk.TesseraID) []identity.Contact {
	t.Helper()
	var holders []identity.Contact
	for _, id := range ids {
		holder := w.honest()
		var result *Announced
		holder.do(func(now time.Time) {
			holder.Announce(now, []sdk.TesseraID{id}, func(_ time.Time, a Announced) { result = &a })
		})
		if !w.until(func() bool { return result != nil }) || result.Stored == 0 {
			t.Fatal("an announcement fails")
		}
		holders = append(holders, holder.self.Contact)
	}
	return holders
}

// seek looks for tesseras from random honest nodes and counts how often the holder is found.
func (w *world) seek(t *testing.T, n int, ids []sdk.TesseraID, holders []identity.Contact) (good int) {
	t.Helper()
	for i := range n {
		asker, which := w.honest(), i%len(ids)
		for asker.self.Contact == holders[which] {
			asker = w.honest()
		}
		var f *Found
		asker.do(func(now time.Time) {
			asker.FindHolders(now, ids[which], func(_ time.Time, found Found) { f = &found })
		})
		if !w.until(func() bool { return f != nil }) {
			t.Fatal("a search does not end")
		}
		if slices.ContainsFunc(f.Pointers, func(p wire.Pointer) bool { return p.Holder == holders[which] }) {
			good++
		}
	}
	return good
}
