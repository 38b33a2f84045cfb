package quicnet

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// conn is one connection to one peer.
type conn struct {
	q        *quic.Conn
	peer     Peer
	claim    netip.AddrPort  // where the peer asks to be dialled, if that has to be proven; else zero
	instance uint64          // of the peer's process
	ended    <-chan struct{} // closed when the connection is over

	// Guarded by the pool's mutex:
	active    int       // requests under way, both directions
	serving   int       // of those, the peer's
	since     time.Time // when it came into the pool
	idleSince time.Time // when active became 0
	retired   bool      // another connection to the peer is preferred
	closing   bool      // no new request may begin
}

// pool knows every connection: one per peer for new requests, and now and then a retired one that
// still serves its last; no peer has a third. Its methods never touch the network; they say what is to be
// closed.
type pool struct {
	self sdk.NodeKey
	max  int
	now  func() time.Time

	mu       sync.Mutex // guards below
	all      map[*conn]struct{}
	current  map[sdk.NodeKey]*conn
	reserved int // places promised to connections that are being made
	awaited  int // of those, to peers that dial us
	guests   guests
	dials    map[identity.Contact]*dial
	stats    Stats
}

// dial is a connection being made, shared by all who wait for it.
type dial struct {
	waiters int // guarded by the pool's mutex
	cancel  context.CancelFunc
	done    chan struct{} // closed when peer and err are set
	peer    Peer
	err     error
}

// Stats counts what the pool did.
type Stats struct {
	Size      int    // connections now
	Active    int    // of those, in use
	Hits      uint64 // requests that found a connection
	Misses    uint64 // requests that had to wait for one to be made
	Evictions uint64 // idle connections closed, by the reaper or to make room
}

// newPool makes a pool of at most limit connections, in which a peer may have so many requests served at
// once.
func newPool(self sdk.NodeKey, limit, requests int) *pool {
	return &pool{
		self: self, max: limit, now: time.Now,
		all:     map[*conn]struct{}{},
		current: map[sdk.NodeKey]*conn{},
		guests:  newGuests(limit, requests),
		dials:   map[identity.Contact]*dial{},
	}
}

// acquire takes the peer's connection into use; nil where there is none.
func (p *pool) acquire(key sdk.NodeKey) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.usableLocked(key)
	if c != nil {
		c.active++
	}
	return c
}

// connected tells who the peer is, if it has a connection for new requests.
func (p *pool) connected(key sdk.NodeKey) (Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.usableLocked(key); c != nil {
		return c.peer, true
	}
	return Peer{}, false
}

// usableLocked is the peer's connection for new requests, or nil.
func (p *pool) usableLocked(key sdk.NodeKey) *conn {
	c := p.current[key]
	if c == nil || c.closing || c.over() {
		return nil
	}
	return c
}

func (c *conn) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// begin takes a connection into use for a request that came over it whole. At most limit are served
// at once, but every peer may have one, as far as its own share and that of its network go.
func (p *pool) begin(c *conn, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closing || !p.guests.admit(c, limit) {
		return false
	}
	c.active++
	return true
}

// end ends what begin began.
func (p *pool) end(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guests.leave(c)
	p.releaseLocked(c)
}

// release ends one use.
func (p *pool) release(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseLocked(c)
}

func (p *pool) releaseLocked(c *conn) {
	if c.active--; c.active == 0 {
		c.idleSince = p.now()
	}
}

// abandon keeps a connection that turned out to be dead from being used again.
func (p *pool) abandon(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.closing = true
	if key := c.peer.Contact.Key; p.current[key] == c {
		delete(p.current, key)
	}
}

// count notes whether a request found its connection.
func (p *pool) count(hit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if hit {
		p.stats.Hits++
	} else {
		p.stats.Misses++
	}
}

// reserve promises a place to a connection in the making, which this node dials or a peer did. At capacity
// the oldest idle connection has to go: the caller closes it. Without one it is ErrFull.
func (p *pool) reserve(dialed bool) (evicted *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !dialed && p.incomingLocked() >= p.max-p.kept():
		evicted, err = p.makeRoomLocked(func(c *conn) bool { return !c.peer.Dialed })
	case len(p.all)+p.reserved >= p.max:
		evicted, err = p.makeRoomLocked(func(*conn) bool { return true })
	}
	if err != nil {
		return nil, err
	}
	p.reserved++
	if !dialed {
		p.awaited++
	}
	return evicted, nil
}

// kept is how many places are for connections that this node dials: whoever fills the rest with requests
// does not keep it from asking others.
func (p *pool) kept() int { return p.max / 8 }

// incomingLocked counts the places of peers that dialled us.
func (p *pool) incomingLocked() int {
	n := p.awaited
	for c := range p.all {
		if !c.peer.Dialed {
			n++
		}
	}
	return n
}

// unreserve gives a place back that was promised.
func (p *pool) unreserve(dialed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unreserveLocked(dialed)
}

func (p *pool) unreserveLocked(dialed bool) {
	p.reserved--
	if !dialed {
		p.awaited--
	}
}

// add puts a connection in its promised place. Of two connections to one peer both sides prefer the
// same: the one of the peer's newest process; of one process, the one that the smaller key dialled;
// of one dialler, the newer. The other is closed once nobody uses it. What is to be closed now is
// returned: the connection to a process that is dead, or the oldest of three.
func (p *pool) add(c *conn) (surplus *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unreserveLocked(c.peer.Dialed)
	p.all[c] = struct{}{}
	c.since = p.now()
	c.idleSince = c.since
	key := c.peer.Contact.Key
	old := p.current[key]
	switch {
	case old == nil, old.closing, old.over():
		p.current[key] = c
	case old.instance != c.instance:
		p.current[key] = c
		old.retired, old.closing = true, true
		p.forgetLocked(old)
		return old
	case p.prefers(c, old):
		p.current[key] = c
		old.retired = true
	default:
		c.retired = true
	}
	return p.thirdLocked(c)
}

// thirdLocked takes out of the pool the oldest connection that a peer has beside the newest and the one in
// use for new requests, if it has three.
func (p *pool) thirdLocked(newest *conn) *conn {
	key := newest.peer.Contact.Key
	var oldest *conn
	has := 0
	for c := range p.all {
		if c.peer.Contact.Key != key {
			continue
		}
		has++
		spare := c != newest && c != p.current[key]
		if spare && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if has <= 2 || oldest == nil {
		return nil
	}
	oldest.closing = true
	p.forgetLocked(oldest)
	return oldest
}

// prefers tells whether a newer connection takes the place of an older one to the same process.
func (p *pool) prefers(newer, older *conn) bool {
	if newer.peer.Dialed == older.peer.Dialed {
		return true
	}
	selfSmaller := string(p.self[:]) < string(newer.peer.Contact.Key[:])
	return newer.peer.Dialed == selfSmaller
}

// remove forgets a connection that ended, and tells whether it was the peer's only one.
func (p *pool) remove(c *conn) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(c)
	return p.current[c.peer.Contact.Key] == nil
}

// idle takes out of the pool what has been without a request since before, and retired connections
// without one. The caller closes them.
func (p *pool) idle(before time.Time) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*conn
	for c := range p.all {
		if c.active == 0 && (c.retired || c.idleSince.Before(before)) {
			p.evictLocked(c)
			out = append(out, c)
		}
	}
	return out
}

// takeAll empties the pool.
func (p *pool) takeAll() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*conn, 0, len(p.all))
	for c := range p.all {
		c.closing = true
		p.forgetLocked(c)
		out = append(out, c)
	}
	return out
}

// makeRoomLocked evicts the oldest idle connection of those that may go.
func (p *pool) makeRoomLocked(may func(*conn) bool) (*conn, error) {
	oldest := p.oldestIdleLocked(may)
	if oldest == nil {
		return nil, ErrFull
	}
	p.evictLocked(oldest)
	return oldest, nil
}

func (p *pool) oldestIdleLocked(may func(*conn) bool) *conn {
	var oldest *conn
	for c := range p.all {
		if c.active > 0 || !may(c) {
			continue
		}
		if oldest == nil || c.retired && !oldest.retired || c.retired == oldest.retired && c.idleSince.Before(oldest.idleSince) {
			oldest = c
		}
	}
	return oldest
}

func (p *pool) evictLocked(c *conn) {
	c.closing = true
	p.forgetLocked(c)
	p.stats.Evictions++
}

func (p *pool) forgetLocked(c *conn) {
	delete(p.all, c)
	if key := c.peer.Contact.Key; p.current[key] == c {
		delete(p.current, key)
	}
}

// inUse lists the connections with requests under way.
func (p *pool) inUse() map[*conn]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[*conn]bool{}
	for c := range p.all {
		if c.active > 0 {
			out[c] = true
		}
	}
	return out
}

// at finds a connected peer by an address it has.
func (p *pool) at(match func(Peer) bool) (Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.current {
		if !c.closing && match(c.peer) {
			return c.peer, true
		}
	}
	return Peer{}, false
}

func (p *pool) snapshot() (Stats, []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Size = len(p.all)
	for c := range p.all {
		if c.active > 0 {
			s.Active++
		}
	}
	peers := make([]Peer, 0, len(p.current))
	for _, c := range p.current {
		peers = append(peers, c.peer)
	}
	return s, peers
}

// join finds the dial under way to a contact, or begins one that the caller has to run.
func (p *pool) join(to identity.Contact, begin func() *dial) (d *dial, begun bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d = p.dials[to]; d == nil {
		d, begun = begin(), true
		p.dials[to] = d
	}
	d.waiters++
	return d, begun
}

// leave is called by one who waits no longer; the last one stops the dial.
func (p *pool) leave(to identity.Contact, d *dial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.waiters--; d.waiters == 0 && p.dials[to] == d {
		delete(p.dials, to)
		d.cancel()
	}
}

// finish tells those who wait how the dial ended.
func (p *pool) finish(to identity.Contact, d *dial, peer Peer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dials[to] == d {
		delete(p.dials, to)
	}
	d.peer, d.err = peer, err
	close(d.done)
	d.cancel()
}
