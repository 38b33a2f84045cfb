package quicnet

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// DefaultPowBits is the proof of work demanded of every peer.
const DefaultPowBits = 16

// Config says how a Net behaves. Zero fields take the defaults named beside them.
type Config struct {
	PowBits int // leading zero bits demanded of every peer's id; 16; negative = none

	// MaxConnections is how many there are in the pool, both directions; 256. A peer has two at most, an
	// eighth is kept for dials of this node, and of those in use for a peer's requests one public subnet has
	// at most a quarter, a home half.
	MaxConnections int
	IdleTimeout    time.Duration // a connection without a request is closed after it; 2m
	ReaperInterval time.Duration // between looks for idle connections; 30s
	MaxHandshakes  int           // strangers that may wait between TLS and Hello at once, the newest stay; 64
	HandshakeRate  float64       // handshakes a second above which addresses must prove themselves by a retry; 64
	MaxHalfOpen    int           // TLS handshakes with strangers under way at once; 256
	// SourceHandshakes and SourceRequests are how many of them one source may begin a second, on average;
	// four times as many at once. A source is an IPv4 address or the /56 of an IPv6 address; loopback and
	// private ones may have sixteen times as many, since many nodes may be behind them. 32, and 1,000. All nodes
	// of one owner together have as many requests as one source.
	SourceHandshakes, SourceRequests float64
	MaxStreams                       int // requests one peer may have open at once on a connection, and served in all; 32
	MaxRequests                      int // requests being served at once, of all peers; 512 (every peer may have one)

	DialTimeout  time.Duration // for a connection, with Hello; without a sign of life three tenths of it; 10s
	FrameTimeout time.Duration // for one whole message to arrive or leave; 15s
	// RetryFirst and RetryMost bound for how long a peer that could not be reached is not dialled again at
	// the same address; the wait doubles from one to the other. 500ms and 5s; negative = not at all.
	RetryFirst, RetryMost time.Duration
	AnswerTimeout         time.Duration // for the answer to a request to begin; 1m
	SilentTimeout         time.Duration // a connection is dead so long after the first packet that got no answer; 10s
	DeadAfter             time.Duration // a connection in use is given up when probes stay unanswered for so long; 3s
	RateWindow            time.Duration // the floor below is measured over it; 15s
	MinRate               int           // bytes a second of a body, on average over RateWindow; 4096

	StreamWindow     int // most bytes a peer may have under way on one stream; 2 MiB
	ConnectionWindow int // most bytes a peer may have under way; 4 MiB
	WindowBudget     int // most that all windows together may grow by; 64 MiB

	Advertise    netip.AddrPort // where peers are told to dial, which they check; zero = where they see us
	Software     string         // name and version shown to peers; "tesseras"
	FreeBytes    func() uint64  // what this node would still take; nil = not said
	Capabilities func() uint64  // shown to peers as they are when a connection begins; nil = none
	// Institution is what this node claims to be, which peers verify for themselves; nil = nothing.
	Institution *wire.Institution

	// Refused is told what was refused, each time, by names that are few; nil = nobody is. It is called from
	// many goroutines and must return at once.
	Refused func(what string)

	Log *slog.Logger     // nil = silent
	Now func() time.Time // for the certificate; nil = time.Now
}

// Capability bits of Hello and Pong.
const (
	// CapMaintenance: the node cannot look at its disk now and says nothing about what it holds.
	CapMaintenance uint64 = 1 << 0
)

const mib = 1 << 20

func (c Config) withDefaults() Config {
	or(&c.PowBits, DefaultPowBits)
	c.PowBits = max(c.PowBits, 0)
	or(&c.MaxConnections, 256)
	or(&c.IdleTimeout, 2*time.Minute)
	or(&c.ReaperInterval, 30*time.Second)
	or(&c.MaxHandshakes, 64)
	or(&c.HandshakeRate, 64)
	or(&c.MaxHalfOpen, 256)
	or(&c.SourceHandshakes, 32)
	or(&c.SourceRequests, 1000)
	or(&c.MaxStreams, 32)
	or(&c.MaxRequests, 512)
	or(&c.DialTimeout, 10*time.Second)
	or(&c.FrameTimeout, 15*time.Second)
	or(&c.RetryFirst, 500*time.Millisecond)
	or(&c.RetryMost, 5*time.Second)
	or(&c.AnswerTimeout, time.Minute)
	or(&c.SilentTimeout, 10*time.Second)
	or(&c.DeadAfter, 3*time.Second)
	or(&c.RateWindow, 15*time.Second)
	or(&c.MinRate, 4096)
	or(&c.StreamWindow, 2*mib)
	or(&c.ConnectionWindow, 4*mib)
	or(&c.WindowBudget, 64*mib)
	or(&c.Software, "tesseras")
	if c.Capabilities == nil {
		c.Capabilities = func() uint64 { return 0 }
	}
	if c.FreeBytes == nil {
		c.FreeBytes = func() uint64 { return 0 }
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
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

// selfContact is the identity as peers see it, at addr.
func selfContact(id *identity.Identity, addr netip.AddrPort) identity.Contact {
	return identity.Contact{Key: id.Node.Key(), Nonce: id.Node.Nonce(), Addr: addr}
}
