package quicnet

import (
	"context"
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
	instance uint64          // of the peer's process
	ended    <-chan struct{} // closed when the connection is over

	// Guarded by the pool's mutex:
	active    int       // requests under way, both directions
	serving   int       // of those, the peer's
	idleSince time.Time // when active became 0
	retired   bool      // another connection to the peer is preferred
	closing   bool      // no new request may begin
}

// pool knows every connection: one per peer for new requests, and now and then a retired one that
// still serves its last. Its methods never touch the network; they say what is to be closed.
type pool struct {
	self sdk.NodeKey
	max  int
	now  func() time.Time

	mu       sync.Mutex // guards below
	all      map[*conn]struct{}
	current  map[sdk.NodeKey]*conn
	reserved int // places promised to connections that are being made
	serving  int // requests being served, of all peers
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

func newPool(self sdk.NodeKey, limit int) *pool {
	return &pool{
		self: self, max: limit, now: time.Now,
		all:     map[*conn]struct{}{},
		current: map[sdk.NodeKey]*conn{},
		dials:   map[identity.Contact]*dial{},
	}
}

// acquire takes the peer's connection into use; nil where there is none.
func (p *pool) acquire(key sdk.NodeKey) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.current[key]
	if c == nil || c.closing || c.over() {
		return nil
	}
	c.active++
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
// at once, but every peer may have one.
func (p *pool) begin(c *conn, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closing || p.serving >= limit && c.serving > 0 {
		return false
	}
	c.active++
	c.serving++
	p.serving++
	return true
}

// end ends what begin began.
func (p *pool) end(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.serving--
	p.serving--
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

// reserve promises a place to a connection in the making. At capacity the oldest idle connection has
// to go: the caller closes it. Without one it is ErrFull.
func (p *pool) reserve() (evicted *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all)+p.reserved >= p.max {
		if evicted = p.oldestIdleLocked(); evicted == nil {
			return nil, ErrFull
		}
		p.evictLocked(evicted)
	}
	p.reserved++
	return evicted, nil
}

// unreserve gives a promised place back.
func (p *pool) unreserve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved--
}

// add puts a connection in its promised place. Of two connections to one peer both sides prefer the
// same: the one of the peer's newest process; of one process, the one that the smaller key dialled;
// of one dialler, the newer. The other is closed once nobody uses it, or now if its process is dead:
// then it is returned.
func (p *pool) add(c *conn) (dead *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved--
	p.all[c] = struct{}{}
	c.idleSince = p.now()
	key := c.peer.Contact.Key
	old := p.current[key]
	switch {
	case old == nil, old.closing, old.over():
		p.current[key] = c
	case old.instance != c.instance:
		p.current[key] = c
		old.retired, old.closing = true, true
		return old
	case p.prefers(c, old):
		p.current[key] = c
		old.retired = true
	default:
		c.retired = true
	}
	return nil
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

func (p *pool) oldestIdleLocked() *conn {
	var oldest *conn
	for c := range p.all {
		if c.active > 0 {
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
