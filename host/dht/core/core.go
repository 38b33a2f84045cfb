package core

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Config says how a Core behaves. Zero fields take the defaults named beside them.
type Config struct {
	K     int // contacts per bucket, and per lookup; 20
	Alpha int // questions under way in a lookup; 3
	Paths int // disjoint paths of a lookup; 3

	PowBits int // leading zero bits that all node ids have; 0

	SlowAfter       time.Duration // a question unanswered for so long is no longer waited for first; 1s
	LookupTime      time.Duration // a lookup that takes so long ends with what there is; 10s
	RetryAfter      time.Duration // a silent peer is not asked again before; 30s
	PingAfter       time.Duration // a contact not heard of for so long is pinged; 5m
	RefreshInterval time.Duration // between looks into one bucket; 1h

	MaxPointers int // kept for others; 10,000
	MaxPeers    int // remembered; 1,024
	// PerBucket and PerTable bound the contacts of one public subnet (/24, /48) in the table, PerLookup
	// those that count in a lookup; 4, 16 and 4.
	PerBucket, PerTable, PerLookup int

	// Sign makes this node's pointer to a tessera; false = no address to be dialled at is known. nil =
	// it announces nothing.
	Sign func(t sdk.TesseraID, now time.Time) (wire.Pointer, bool)
	// Proven tells whether a holder passed a proof for a tessera here; nil = none did.
	Proven func(sdk.TesseraID, sdk.NodeKey) bool
}

func (c Config) withDefaults() Config {
	or(&c.K, wire.MaxNodes)
	or(&c.Alpha, 3)
	or(&c.Paths, 3)
	or(&c.SlowAfter, time.Second)
	or(&c.LookupTime, 10*time.Second)
	or(&c.RetryAfter, 30*time.Second)
	or(&c.PingAfter, 5*time.Minute)
	or(&c.RefreshInterval, time.Hour)
	or(&c.MaxPointers, 10_000)
	or(&c.MaxPeers, 1024)
	or(&c.PerBucket, 4)
	or(&c.PerTable, 16)
	or(&c.PerLookup, 4)
	c.K = min(c.K, wire.MaxNodes)
	c.PowBits = max(c.PowBits, 0)
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Kind says what is asked.
type Kind uint8

// The questions.
const (
	Ping Kind = iota + 1
	FindNode
	FindPointers
	StorePointers
)

// Question is what one node asks another.
type Question struct {
	Kind     Kind
	Target   ID             // of FindNode and FindPointers
	Pointers []wire.Pointer // of StorePointers, at most wire.MaxPointers
}

// Answer is what came of a question, as far as it can be checked without asking anybody: contacts with
// their proof of work, pointers whose signatures hold.
type Answer struct {
	Nodes     []Node         // to FindNode and FindPointers, at most wire.MaxNodes
	Pointers  []wire.Pointer // to FindPointers, at most wire.MaxPointers
	Stored    int            // to StorePointers
	FreeBytes uint64         // to Ping
}

// Query names a question under way.
type Query uint64

// Send is a question to be asked. The transport owes one Answered or Failed for it.
type Send struct {
	Query
	To Node
	Question
}

// Peer is who a verified connection leads to.
type Peer struct {
	Node
	Owner     sdk.OwnerKey
	FreeBytes uint64
}

// Core is one node's part of the network as a state machine. One goroutine at a time uses it. Every
// input takes the time, which must not run backwards; after it, Outbox and Dropped tell what is to be
// done. Functions given to it are called during inputs, and may use it.
type Core struct {
	config Config
	own    ID
	self   sdk.NodeKey
	rng    *rand.Rand

	table    *table
	book     *book
	pointers *pointers

	queries map[Query]*query
	last    Query
	outbox  []Send
	dropped []Query
	timers  timers

	pinging map[sdk.NodeKey]bool
	looked  [bitsOf]time.Time // when each bucket was last looked into
	reaches reaches
}

// query is a question under way.
type query struct {
	Send
	at   time.Time
	done func(now time.Time, a Answer, ok bool)
}

func (q *query) lookedUp() bool { return q.Kind == FindNode || q.Kind == FindPointers }

// New makes a node that knows nobody. All its randomness comes from rng.
func New(self Node, config Config, rng *rand.Rand) *Core {
	config = config.withDefaults()
	return &Core{
		config: config, own: self.At, self: self.Key, rng: rng,
		table:    newTable(self.At, config.K, caps{bucket: config.PerBucket, table: config.PerTable}),
		book:     newBook(config.MaxPeers),
		pointers: newPointers(self.At, config.MaxPointers, config.Proven),
		queries:  map[Query]*query{},
		pinging:  map[sdk.NodeKey]bool{},
	}
}

// Outbox takes the questions that are to be asked now.
func (c *Core) Outbox() []Send {
	out := c.outbox
	c.outbox = nil
	return out
}

// Dropped takes the questions whose answers nobody waits for any longer. The transport may give them
// up and owes nothing for them.
func (c *Core) Dropped() []Query {
	out := c.dropped
	c.dropped = nil
	return out
}

// Next is when Tick is due; false = not at all.
func (c *Core) Next() (time.Time, bool) { return c.timers.next() }

// Tick does what is due.
func (c *Core) Tick(now time.Time) { c.timers.run(now) }

// Met takes note of a verified connection: this is the only way into the table. Whom a lookup asks gets a
// place by its result, unless hardly anybody is known there.
func (c *Core) Met(now time.Time, p Peer) {
	c.book.met(Known{Contact: p.Contact, at: p.At, Owner: p.Owner, FreeBytes: p.FreeBytes, LastSeen: now}, c.table.has)
	if c.table.has(p.Key) || c.table.beside(p.At) < c.fewPlaces() || !c.beingLookedUp(p.Key) {
		c.offer(now, p.Node)
	}
}

// beingLookedUp tells whether a lookup is asking a node.
func (c *Core) beingLookedUp(key sdk.NodeKey) bool {
	for _, q := range c.queries {
		if q.To.Key == key && q.lookedUp() {
			return true
		}
	}
	return false
}

// offer gives a node that is there a place in the table, if there is one.
func (c *Core) offer(now time.Time, n Node) {
	if oldest, full := c.table.heard(n); full {
		c.challenge(now, oldest, n)
	}
}

// fewPlaces is how many places of a bucket the result of one lookup may fill.
func (c *Core) fewPlaces() int { return max(c.config.K/4, 1) }

// offerFound gives nodes that a lookup found places, nearest first. Not those it asked on its way, for liars
// crowd it; and never many of one bucket: so the contacts there come from several lookups, of which no single
// one that was led astray fills it.
func (c *Core) offerFound(now time.Time, nodes []Node) {
	var offered [bitsOf + 1]int
	for _, n := range nodes {
		i := sharedBits(c.own, n.At)
		if c.table.has(n.Key) || offered[i] >= c.fewPlaces() {
			continue
		}
		offered[i]++
		c.offer(now, n)
	}
}

// heardLately is how long after its last word a contact is not doubted. A ping may need a connection,
// of which the other side learns as well: without a pause one doubt would lead to the next for ever.
const heardLately = time.Minute

// challenge pings the oldest contact of a full bucket; if it is silent, the newcomer gets its place.
func (c *Core) challenge(now time.Time, oldest, newcomer Node) {
	if k := c.book.peers[oldest.Key]; k != nil && k.Silent == 0 && now.Sub(k.LastSeen) < heardLately {
		return
	}
	c.pingQuietly(now, oldest, func(alive bool) {
		if !alive {
			c.table.replace(oldest.Key, newcomer)
		}
	})
}

// pingQuietly pings a contact unless that is being done.
func (c *Core) pingQuietly(now time.Time, to Node, then func(alive bool)) {
	if c.pinging[to.Key] {
		return
	}
	c.pinging[to.Key] = true
	c.ask(now, to, Question{Kind: Ping}, func(_ time.Time, _ Answer, ok bool) {
		delete(c.pinging, to.Key)
		then(ok)
	})
}

// Missed takes note of a peer that could not be reached, or fell silent.
func (c *Core) Missed(now time.Time, who identity.Contact) { c.book.missed(who, now) }

// ask asks one question; done is called with what came of it, unless drop is called before.
func (c *Core) ask(now time.Time, to Node, q Question, done func(time.Time, Answer, bool)) Query {
	c.last++
	send := Send{Query: c.last, To: to, Question: q}
	c.queries[c.last] = &query{Send: send, at: now, done: done}
	c.outbox = append(c.outbox, send)
	return c.last
}

// drop gives a question up.
func (c *Core) drop(id Query) {
	if c.queries[id] != nil {
		delete(c.queries, id)
		c.dropped = append(c.dropped, id)
	}
}

// Answered takes the answer to a question.
func (c *Core) Answered(now time.Time, id Query, a Answer) {
	q := c.queries[id]
	if q == nil {
		return
	}
	delete(c.queries, id)
	c.alive(now, q)
	if k := c.book.peers[q.To.Key]; k != nil && q.Kind == Ping {
		k.FreeBytes = a.FreeBytes
	}
	a.Nodes = credible(a.Nodes, q.To.Addr, nodeAddr)
	a.Pointers = credible(a.Pointers, q.To.Addr, holderAddr)
	q.done(now, a, true)
}

func (c *Core) alive(now time.Time, q *query) {
	c.book.answered(q.To.Key, now.Sub(q.at), now)
	if k := c.book.peers[q.To.Key]; k != nil && k.Contact.Addr == q.To.Addr {
		c.table.touch(q.To.Key)
	}
}

// credible keeps what a peer may tell of: one on a public address knows of no private ones. It uses told up.
func credible[T any](told []T, from netip.AddrPort, at func(T) netip.Addr) []T {
	if !public(from.Addr()) {
		return told
	}
	return slices.DeleteFunc(told, func(x T) bool { return !public(at(x)) })
}

func nodeAddr(n Node) netip.Addr           { return n.Addr.Addr() }
func holderAddr(p wire.Pointer) netip.Addr { return p.Holder.Addr.Addr() }

// Failure says why a question has no answer.
type Failure uint8

const (
	// Silence: the peer could not be reached or did not answer in time.
	Silence Failure = iota
	// Refusal: the peer said no, or something else than was asked for.
	Refusal
	// Void: it says nothing about the peer.
	Void
)

// Failed takes note that a question has no answer.
func (c *Core) Failed(now time.Time, id Query, why Failure) {
	q := c.queries[id]
	if q == nil {
		return
	}
	delete(c.queries, id)
	switch why {
	case Silence:
		c.book.silent(q.To.Contact, now)
	case Refusal:
		c.alive(now, q)
	}
	q.done(now, Answer{}, q.Kind == Ping && why == Refusal)
}

// Peers lists everyone who was met and is remembered, also those that are silent now.
func (c *Core) Peers() []Known { return c.book.list() }

// Peer is the record of one peer.
func (c *Core) Peer(key sdk.NodeKey) (Known, bool) {
	if k := c.book.peers[key]; k != nil {
		return *k, true
	}
	return Known{}, false
}

// Alone tells whether the table holds nobody who answers.
func (c *Core) Alone() bool {
	return len(c.table.closest(c.spot(c.own), 1, func(n Node) bool { return c.book.alive(n.Key) })) == 0
}

// Table counts the contacts of the routing table.
func (c *Core) Table() int { return len(c.table.at) }

// Pointers counts the pointers kept for others.
func (c *Core) Pointers() int { return c.pointers.count }

// Expire drops pointers that are past their time.
func (c *Core) Expire(now time.Time) { c.pointers.expire(now) }

// spot is an id as far as it tells nodes apart.
func (c *Core) spot(id ID) ID { return without(id, c.config.PowBits) }

// random draws an id.
func (c *Core) random() (id ID) {
	for i := 0; i < len(id); i += 8 {
		n := c.rng.Uint64()
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
	return id
}

// K is how many nodes a lookup looks for.
func (c *Core) K() int { return c.config.K }
