package quicnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// gate stands before the TLS handshake: it bounds how many are under way, of all strangers and of one
// source, and how fast one source may begin them.
type gate struct {
	places int
	all    *rate.Limiter // above it addresses must prove themselves
	first  *sources      // likewise, for one source; a forged address costs its owner one round trip
	proven *sources      // of addresses that did; above it they are refused
	count  func(what string)

	mu     sync.Mutex // guards below
	inside map[netip.Prefix]int
	total  int
	stats  GateStats
}

// GateStats counts what happened before TLS.
type GateStats struct {
	HalfOpen int    // handshakes under way now
	Retried  uint64 // sources that had to prove their address
	Refused  uint64 // handshakes refused
}

// maxSources bounds how many sources are remembered.
const maxSources = 4096

func newGate(c Config) *gate {
	return &gate{
		places: c.MaxHalfOpen,
		all:    rate.NewLimiter(rate.Limit(c.HandshakeRate), int(2*c.HandshakeRate)+1),
		first:  newSources(c.SourceHandshakes, maxSources),
		proven: newSources(c.SourceHandshakes, maxSources),
		count:  c.Refused,
		inside: map[netip.Prefix]int{},
	}
}

// suspects tells whether an address must prove that it receives what is sent to it, by a retry.
func (g *gate) suspects(a net.Addr) bool {
	crowded := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.total >= g.places/2
	}
	if g.all.Allow() && g.first.allow(addrPort(a).Addr(), 1, time.Now()) && !crowded() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.Retried++
	return true
}

var errGate = errors.New("too many handshakes")

// admit takes a place for a handshake until leave is called with the context it returns, or the
// connection ends. One source has at most a quarter of the places, unless it is at home.
func (g *gate) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr := addrPort(info.RemoteAddr).Addr()
	from := sourceOf(addr)
	paced := !info.AddrVerified || g.proven.allow(addr, 1, time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	if !paced || g.total >= g.places || public(addr) && g.inside[from] >= max(g.places/4, 1) {
		g.stats.Refused++
		g.count(RefusedHandshake)
		return nil, errGate
	}
	g.total++
	g.inside[from]++
	left := sync.OnceFunc(func() { g.release(from) })
	context.AfterFunc(ctx, left)
	return context.WithValue(ctx, gateKey{}, left), nil
}

type gateKey struct{}

func (g *gate) release(from netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.inside[from]--; g.inside[from] == 0 {
		delete(g.inside, from)
	}
}

// leave gives back the place of a handshake that is complete.
func leave(ctx context.Context) {
	if left, is := ctx.Value(gateKey{}).(func()); is {
		left()
	}
}

func (g *gate) snapshot() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.HalfOpen = g.total
	return s
}
