package dht

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// ID is a point of the space in which nodes and tesseras lie.
type ID = core.ID

// Known is a peer this node has met, and its record.
type Known = core.Known

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

// Config says how a DHT behaves. Zero fields take the defaults named beside them, or those of
// core.Config.
type Config struct {
	PowBits int // leading zero bits demanded of every contact's id; 16; negative = none

	K     int // contacts per bucket, and per lookup
	Alpha int // questions under way in a lookup

	QueryTimeout time.Duration // for one question; 5s
	SlowAfter    time.Duration // a question unanswered for so long is no longer waited for first
	RetryAfter   time.Duration // a silent peer is not asked again before

	StepInterval    time.Duration // between steps of Run; 1m
	PingAfter       time.Duration // a contact not heard of for so long is pinged
	RefreshInterval time.Duration // between looks around one's own id and into every bucket; 1h
	AnnounceEvery   time.Duration // between announcements of what this node leads; 8h
	AnnounceRest    time.Duration // between announcements of all that is held; 20h, within the life of a pointer

	MaxPointers int // kept for others
	MaxPeers    int // remembered
	// PerBucket, PerTable and PerLookup bound the contacts of one public subnet (/24, /48).
	PerBucket, PerTable, PerLookup int

	// Holdings lists what to announce; nil = nothing.
	Holdings func(ctx context.Context) ([]sdk.TesseraID, error)
	// Leads tells whether this node is among the holders of a tessera that come first; nil = always.
	Leads func(sdk.TesseraID) bool
	// Proven tells whether a holder passed a proof for a tessera here: its pointer then never gives way
	// to one of a holder that did not. It is called with a lock held and must return at once; nil =
	// none did.
	Proven func(sdk.TesseraID, sdk.NodeKey) bool
	Memory Memory // nil = none
	// Refused is told what was refused, each time, by names that are few, such as RefusedPointer. It may be
	// called with a lock held and must return at once; nil = nobody is told.
	Refused func(what string)
	// Resolve finds the addresses of a bootstrap host; nil = the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Random  io.Reader        // of which the core's randomness is drawn; nil = crypto/rand
	Log     *slog.Logger     // nil = silent
	Now     func() time.Time // nil = time.Now
}

func (c Config) withDefaults() Config {
	or(&c.PowBits, quicnet.DefaultPowBits)
	or(&c.QueryTimeout, 5*time.Second)
	or(&c.StepInterval, time.Minute)
	or(&c.RefreshInterval, time.Hour)
	or(&c.AnnounceEvery, 8*time.Hour)
	or(&c.AnnounceRest, 20*time.Hour)
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
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
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// core is the part of the configuration that the state machine needs.
func (c Config) core(sign func(sdk.TesseraID, time.Time) (wire.Pointer, bool)) core.Config {
	return core.Config{
		K: c.K, Alpha: c.Alpha, PowBits: c.PowBits,
		SlowAfter: c.SlowAfter, RetryAfter: c.RetryAfter, PingAfter: c.PingAfter, RefreshInterval: c.RefreshInterval,
		MaxPointers: c.MaxPointers, MaxPeers: c.MaxPeers,
		PerBucket: c.PerBucket, PerTable: c.PerTable, PerLookup: c.PerLookup,
		Sign: sign, Proven: c.Proven,
	}
}

// What is refused, as Config.Refused is told.
const (
	RefusedPointer = "pointer" // one that does not hold, is for another tessera or of another holder, or has no room
	RefusedContact = "contact" // one that nobody can have, or without its proof of work
)

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
	tasks  sync.WaitGroup // questions under way
	signed signedPointers
	begun  chan struct{} // has Run look again when its next step is due; holds one
	joined chan struct{} // closed by join
	join   func()
	joinBy time.Time

	mu        sync.Mutex // guards below
	core      *core.Core
	calls     map[core.Query]context.CancelFunc
	cause     error       // why the question that just failed did
	timer     *time.Timer // runs tick when the core wants it
	bootstrap []string    // as last given, for when everybody is gone
	nextLook  time.Time
	lookAfter time.Duration // grows up to RefreshInterval
	announced time.Time
	// announcedAll is when everything was announced, and not only what this node leads.
	announcedAll time.Time
	dirty        bool            // the address book has changed since it was saved
	ctx          context.Context // ends with Close
	cancel       context.CancelFunc
}

// New makes a DHT for a node. It knows nobody; Bootstrap and Observe change that.
func New(network Network, node *identity.Node, config Config) *DHT {
	config = config.withDefaults()
	d := &DHT{
		net: network, node: node, config: config,
		begun: make(chan struct{}, 1), calls: map[core.Query]context.CancelFunc{}, lookAfter: firstLook,
		joined: make(chan struct{}), joinBy: time.Now().Add(joinTime),
	}
	d.join = sync.OnceFunc(func() { close(d.joined) })
	self := core.Place(identity.Contact{Key: node.Key(), Nonce: node.Nonce()})
	d.core = core.New(self, config.core(d.sign), randomness(config.Random))
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// randomness seeds a generator of which peers see nothing but points they are asked about.
func randomness(from io.Reader) *mathrand.Rand {
	var seed [16]byte
	if _, err := io.ReadFull(from, seed[:]); err != nil {
		rand.Read(seed[:])
	}
	return mathrand.New(mathrand.NewPCG(binary.BigEndian.Uint64(seed[:8]), binary.BigEndian.Uint64(seed[8:])))
}

func (d *DHT) sign(t sdk.TesseraID, now time.Time) (wire.Pointer, bool) {
	self := d.net.Self()
	if !self.Addr.IsValid() {
		return wire.Pointer{}, false
	}
	return wire.SignPointer(d.node, t, self, now), true
}

// Close stops what the DHT does in the background and waits for it.
func (d *DHT) Close() {
	d.mu.Lock()
	d.cancel() // under mu: no question begins after it
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.tasks.Wait()
}

// Observe takes note of a verified connection: this is the only way into the table. Give it to
// quicnet's OnPeer. It does not block.
func (d *DHT) Observe(p quicnet.Peer) {
	d.do(func(now time.Time) {
		d.core.Met(now, core.Peer{Node: core.Place(p.Contact), Owner: p.Owner, FreeBytes: p.FreeBytes})
		d.dirty = true
		if d.core.Table() >= d.core.K() {
			d.join()
		}
	})
}

// Missed takes note of a peer that could not be reached, or fell silent. Give it to quicnet's OnLost.
// It does not block.
func (d *DHT) Missed(c identity.Contact) {
	d.do(func(now time.Time) { d.core.Missed(now, c) })
}

// Peers lists everyone this node has met and remembers, also those that are silent now.
func (d *DHT) Peers() []Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Peers()
}

// Peer is the record of one peer.
func (d *DHT) Peer(key sdk.NodeKey) (Known, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Peer(key)
}

// Ping asks whether a peer is alive, and tells how long the answer took.
func (d *DHT) Ping(ctx context.Context, to identity.Contact) (took time.Duration, err error) {
	begun := time.Now()
	stopped := d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.PingPeer(now, to, func(_ time.Time, _ core.Answer, alive bool) {
			if took = time.Since(begun); !alive {
				err = cmp.Or(d.cause, context.Canceled)
			}
			done()
		})
	})
	return took, cmp.Or(err, stopped)
}
