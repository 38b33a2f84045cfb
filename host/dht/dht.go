package dht

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Network is what the DHT needs of the transport; *quicnet.Net has it.
type Network interface {
	// Call asks a peer and returns its answer.
	Call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error)
	// Dial makes sure there is a connection; a zero key means whoever answers at the address.
	Dial(ctx context.Context, to identity.Contact) (quicnet.Peer, error)
	// Self is this node as others can dial it.
	Self() identity.Contact
}

var _ Network = (*quicnet.Net)(nil)

// Memory keeps the peers that were met, so that the next start needs no bootstrap. Both methods may
// be called while the other runs.
type Memory interface {
	// Load returns what the last Save was given; nothing is not an error.
	Load(ctx context.Context) ([]Known, error)
	// Save replaces what is kept.
	Save(ctx context.Context, peers []Known) error
}

// Config says how a DHT behaves. Zero fields take the defaults named beside them.
type Config struct {
	PowBits int // leading zero bits demanded of every contact's id; 16; negative = none

	K     int // contacts per bucket, and per lookup; 20
	Alpha int // questions under way in a lookup; 3

	QueryTimeout time.Duration // for one question; 5s
	SlowAfter    time.Duration // a question unanswered for so long is no longer waited for first; 1s
	RetryAfter   time.Duration // a silent peer is not asked again before; 30s

	StepInterval    time.Duration // between steps of Run; 1m
	PingAfter       time.Duration // a contact not heard of for so long is pinged; 5m
	RefreshInterval time.Duration // between looks around one's own id and into every bucket; 1h
	AnnounceEvery   time.Duration // between announcements of what is held; 8h

	MaxPointers int // kept for others; 10,000
	MaxPeers    int // remembered; 1,024
	// PerBucket and PerTable bound the contacts of one public subnet (/24, /48); 4 and 16.
	PerBucket, PerTable int

	// Holdings lists what to announce every AnnounceEvery; nil = nothing.
	Holdings func(ctx context.Context) ([]sdk.TesseraID, error)
	Memory   Memory // nil = none
	// Resolve finds the addresses of a bootstrap host; nil = the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Random  io.Reader        // nil = crypto/rand
	Log     *slog.Logger     // nil = silent
	Now     func() time.Time // nil = time.Now
}

func (c Config) withDefaults() Config {
	or(&c.PowBits, quicnet.DefaultPowBits)
	or(&c.K, wire.MaxNodes)
	or(&c.Alpha, 3)
	or(&c.QueryTimeout, 5*time.Second)
	or(&c.SlowAfter, time.Second)
	or(&c.RetryAfter, 30*time.Second)
	or(&c.StepInterval, time.Minute)
	or(&c.PingAfter, 5*time.Minute)
	or(&c.RefreshInterval, time.Hour)
	or(&c.AnnounceEvery, 8*time.Hour)
	or(&c.MaxPointers, 10_000)
	or(&c.MaxPeers, 1024)
	or(&c.PerBucket, 4)
	or(&c.PerTable, 16)
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.K = min(c.K, wire.MaxNodes)
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// What callers decide on.
var (
	// ErrNoBootstrap tells that none of the bootstrap addresses answered.
	ErrNoBootstrap = errors.New("no bootstrap address answered")
	// ErrNobody tells that there is no peer to store pointers at.
	ErrNobody = errors.New("no peer to announce to")
)

// DHT is a node's part of the distributed hash table.
type DHT struct {
	net    Network
	node   *identity.Node
	config Config
	own    ID
	tasks  sync.WaitGroup // pings in the background

	mu        sync.Mutex // guards below
	table     *table
	book      *book
	pointers  *pointers
	pinging   map[sdk.NodeKey]bool // in the background
	bootstrap []string             // as last given, for when everybody is gone
	nextLook  time.Time
	lookAfter time.Duration // grows up to RefreshInterval
	announced time.Time
	looked    [bitsOf]time.Time // when each bucket was last looked into
	dirty     bool              // the book has changed since it was saved
	ctx       context.Context   // ends with Close
	cancel    context.CancelFunc
}

// New makes a DHT for a node. It knows nobody; Bootstrap and Observe change that.
func New(network Network, node *identity.Node, config Config) *DHT {
	config = config.withDefaults()
	own := ID(node.ID())
	d := &DHT{
		net: network, node: node, config: config, own: own,
		table:     newTable(own, config.K, caps{bucket: config.PerBucket, table: config.PerTable}),
		book:      newBook(config.MaxPeers),
		pointers:  newPointers(own, config.MaxPointers),
		pinging:   map[sdk.NodeKey]bool{},
		lookAfter: firstLook,
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Close stops what the DHT does in the background and waits for it.
func (d *DHT) Close() {
	d.mu.Lock()
	d.cancel() // under mu: no ping begins after it
	d.mu.Unlock()
	d.tasks.Wait()
}

// Observe takes note of a verified connection: this is the only way into the table. Give it to
// quicnet's OnPeer. It does not block.
func (d *DHT) Observe(p quicnet.Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Now()
	d.book.met(Known{Contact: p.Contact, Owner: p.Owner, FreeBytes: p.FreeBytes, LastSeen: now}, d.table.has)
	d.dirty = true
	if oldest, full := d.table.heard(p.Contact); full {
		d.challengeLocked(oldest, p.Contact)
	}
}

// Missed takes note of a peer that could not be reached, or fell silent. Give it to quicnet's OnLost.
// It does not block.
func (d *DHT) Missed(c identity.Contact) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.book.missed(c, d.config.Now())
}

// challengeLocked pings the oldest contact of a full bucket; if it is silent, the newcomer gets its
// place.
func (d *DHT) challengeLocked(oldest, newcomer identity.Contact) {
	d.pingLocked(oldest, func(err error) {
		switch {
		case err == nil:
			d.table.heard(oldest)
		case d.ctx.Err() == nil:
			d.table.replace(oldest.Key, newcomer)
		}
	})
}

// pingLocked pings a contact in the background, unless that is being done, and then calls then with mu
// held.
func (d *DHT) pingLocked(c identity.Contact, then func(error)) {
	if d.pinging[c.Key] || d.ctx.Err() != nil {
		return
	}
	d.pinging[c.Key] = true
	d.tasks.Go(func() {
		_, err := d.Ping(d.ctx, c)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.pinging, c.Key)
		then(err)
	})
}

// Peers lists everyone this node has met and remembers, also those that are silent now.
func (d *DHT) Peers() []Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.book.list()
}

// Peer is the record of one peer.
func (d *DHT) Peer(key sdk.NodeKey) (Known, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.book.peers[key]; k != nil {
		return *k, true
	}
	return Known{}, false
}

// Ping asks whether a peer is alive, and tells how long the answer took.
func (d *DHT) Ping(ctx context.Context, to identity.Contact) (time.Duration, error) {
	begun := time.Now()
	m, err := d.ask(ctx, to, &wire.Ping{})
	if err != nil {
		return 0, err
	}
	if pong, ok := m.(*wire.Pong); ok {
		d.mu.Lock()
		if k := d.book.peers[to.Key]; k != nil {
			k.FreeBytes = pong.GetFreeBytes()
		}
		d.mu.Unlock()
	}
	return time.Since(begun), nil
}

// ask asks one question and keeps the record of who answers. A refusal is an answer.
func (d *DHT) ask(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error) {
	limited, cancel := context.WithTimeout(ctx, d.config.QueryTimeout)
	defer cancel()
	begun := time.Now()
	m, err := d.net.Call(limited, to, req)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil || wire.CodeOf(err) != wire.Code_OK:
		d.book.answered(to.Key, time.Since(begun), d.config.Now())
	case ctx.Err() == nil: // else nobody waited for it
		d.book.silent(to.Key, d.config.Now())
	}
	return m, err
}
