package quicnet_test

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// tellings counts what a node says it refused.
type tellings struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (c *tellings) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what]++
}

func (c *tellings) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

func (c *tellings) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]int{}
	for what, n := range c.counts {
		all[what] = n
	}
	return all
}

// TestRefusalsAreCounted: whatever is refused moves the figure of its name.
func TestRefusalsAreCounted(t *testing.T) {
	said := func(change func(*wire.Hello)) func(*testing.T, *quicnet.Net) {
		return func(t *testing.T, n *quicnet.Net) { member(t, n, change) }
	}
	asked := func(request ...byte) func(*testing.T, *quicnet.Net) {
		return func(t *testing.T, n *quicnet.Net) {
			s := openStream(t, member(t, n, func(*wire.Hello) {}))
			s.Write(request)
		}
	}
	shown := func(alpn string, certs func(t *testing.T) []tls.Certificate) func(*testing.T, *quicnet.Net) {
		return func(t *testing.T, n *quicnet.Net) { stranger(t, n, certs(t), alpn) }
	}
	good := func(t *testing.T) []tls.Certificate { return []tls.Certificate{certOf(t, newIdentity(t))} }
	twice := func(t *testing.T) []tls.Certificate {
		c := certOf(t, newIdentity(t))
		c.Certificate = append(c.Certificate, c.Certificate[0])
		return []tls.Certificate{c}
	}
	calls := func(times int) func(*testing.T, *quicnet.Net) {
		return func(t *testing.T, n *quicnet.Net) {
			a := node(t, quicnet.Config{})
			var calling sync.WaitGroup
			for range times {
				calling.Go(func() { a.Call(deadline(t, time.Second), n.Self(), fetchPlan()) })
			}
			calling.Wait()
		}
	}
	crowd := func(silent int) func(*testing.T, *quicnet.Net) {
		return func(t *testing.T, n *quicnet.Net) {
			for range silent {
				member(t, n, nil)
			}
		}
	}
	nowhere := wire.NewAddress(netip.MustParseAddrPort("127.0.7.7:9"))
	for what, c := range map[string]struct {
		config quicnet.Config
		do     func(*testing.T, *quicnet.Net)
	}{
		quicnet.RefusedALPN:        {quicnet.Config{}, shown("h3", good)},
		quicnet.RefusedCertificate: {quicnet.Config{}, shown(wire.ALPN, twice)},
		quicnet.RefusedWork:        {quicnet.Config{PowBits: 60}, shown(wire.ALPN, good)},
		quicnet.RefusedHandshake: {quicnet.Config{SourceHandshakes: 0.001}, func(t *testing.T, n *quicnet.Net) {
			for range 40 { // sixteen at once, of this computer
				shown(wire.ALPN, good)(t, n)
			}
			if n.Gate().Retried == 0 {
				t.Error("nobody had to prove an address")
			}
		}},
		quicnet.RefusedStranger:   {quicnet.Config{MaxHandshakes: 2}, crowd(3)},
		quicnet.RefusedDelegation: {quicnet.Config{}, said(func(h *wire.Hello) { h.Delegation[3] ^= 1 })},
		quicnet.RefusedVersion:    {quicnet.Config{}, said(func(h *wire.Hello) { h.Versions = []uint32{99} })},
		quicnet.RefusedWrongPeer: {quicnet.Config{}, func(t *testing.T, n *quicnet.Net) {
			there := node(t, quicnet.Config{}).Self()
			n.Dial(deadline(t, 5*time.Second), identity.Contact{Key: newIdentity(t).Node.Key(), Addr: there.Addr})
		}},
		quicnet.RefusedPool: {quicnet.Config{MaxConnections: 1}, func(t *testing.T, n *quicnet.Net) {
			holding(t, n, newIdentity(t))
			waitUntil(t, func() bool { return n.Stats().Active == 1 })
			member(t, n, func(*wire.Hello) {})
		}},
		quicnet.RefusedRate:  {quicnet.Config{SourceRequests: 0.001}, calls(40)},
		quicnet.RefusedShare: {quicnet.Config{MaxRequests: 1}, calls(3)},
		quicnet.RefusedClaim: {quicnet.Config{}, said(func(h *wire.Hello) { h.Listen = nowhere })},
		quicnet.RefusedView:  {quicnet.Config{}, said(func(h *wire.Hello) { h.Seen = wire.NewAddress(netip.MustParseAddrPort("0.0.0.0:1")) })},
		"malformed":          {quicnet.Config{}, asked(byte(wire.KindPing), 0, 0, 0, 2, 1, 2)},
		"too_large":          {quicnet.Config{}, asked(byte(wire.KindPing), 255, 255, 255, 255)},
		"too_slow":           {quicnet.Config{FrameTimeout: 200 * time.Millisecond}, asked(byte(wire.KindPing), 0)},
		"unsupported":        {quicnet.Config{}, asked(200, 0, 0, 0, 0)},
		"denied": {quicnet.Config{}, func(t *testing.T, n *quicnet.Net) {
			n.Handle(wire.KindFetchPlan, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
				return wire.Refuse(wire.Code_DENIED, "not you")
			})
			calls(1)(t, n)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			told := &tellings{}
			c.config.Refused = told.count
			n := node(t, c.config)
			release := make(chan struct{})
			held(n, release)
			t.Cleanup(func() { close(release) })
			c.do(t, n)
			for end := time.Now().Add(20 * time.Second); told.of(what) == 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("counted: %v", told.all())
				}
			}
		})
	}
}

// TestNothingIsRefusedAmongFriends: what honest peers do moves no figure.
func TestNothingIsRefusedAmongFriends(t *testing.T) {
	told := &tellings{}
	a, b := node(t, quicnet.Config{Refused: told.count}), node(t, quicnet.Config{Refused: told.count})
	for range 10 {
		ping(t, a, b.Self())
		ping(t, b, a.Self())
	}
	if _, reached, err := a.DialBack(deadline(t, 10*time.Second), b.Self()); err != nil || !reached {
		t.Errorf("%v, %v", reached, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	entered, cancelled := held(b, release)
	done := make(chan struct{})
	go func() { defer close(done); a.Call(ctx, b.Self(), fetchPlan()) }()
	<-entered
	cancel()
	<-done
	waitUntil(t, func() bool { return cancelled.Load() == 1 && b.Stats().Active == 0 })
	if all := told.all(); len(all) != 0 {
		t.Errorf("counted: %v", all)
	}
}
