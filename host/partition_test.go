package host_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/internal/invariants"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// splits is how many ways of parting seven nodes are tried; there are 63.
var splits = suite.Splits

// weather rules what becomes of packets between nodes in memory.
type weather struct {
	mu     sync.Mutex // guards below
	rng    *rand.Rand
	loss   float64
	left   map[netip.Addr]bool // one side of a split; nil = no split
	oneWay bool                // packets still go from left to right
	mute   map[netip.Addr]bool // nothing goes from these or to them; nil = nobody
}

// largest is the size of the largest packet that arrives.
const largest = 1200

func (w *weather) drops(from, to netip.Addr, size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size > largest || w.mute[from] || w.mute[to] || w.rng.Float64() < w.loss {
		return true
	}
	return w.left != nil && w.left[from] != w.left[to] && !(w.oneWay && w.left[from])
}

func (w *weather) set(loss float64, left map[netip.Addr]bool, oneWay bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss, w.left, w.oneWay = loss, left, oneWay
}

// silence cuts a node off from everybody, or no more.
func (w *weather) silence(at netip.Addr, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mute == nil {
		w.mute = map[netip.Addr]bool{}
	}
	w.mute[at] = is
}

// windy is a socket in the weather.
type windy struct {
	net.PacketConn
	weather *weather
	at      netip.Addr
}

func (c *windy) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.weather.drops(c.at, to.(*net.UDPAddr).AddrPort().Addr().Unmap(), len(p)) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, to)
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
func (c *windy) SetReadBuffer(int) error { return nil }

func (c *windy) SetWriteBuffer(int) error { return nil }

// village is one without nodes, in memory and virtual time and under this weather.
func (w *weather) village(t *testing.T) *village {
	t.Helper()
	network := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(5 * time.Millisecond), Logger: slog.New(slog.DiscardHandler)}
	link := simnet.LinkSettings{BitsPerSecond: 400 * simnet.Mibps}
	network.Start()
	t.Cleanup(network.Close)
	// what is shared with tests outside cannot be used in here
	defaults, err := host.LoadDefaults(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = defaults.Close() })
	v := &village{t: t, ownPolicies: true}
	v.bind = func(listen string) (net.PacketConn, error) {
		at, err := net.ResolveUDPAddr("udp4", listen)
		if err != nil {
			return nil, err
		}
		at.IP = at.IP.To4()
		end := network.NewEndpoint(at, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})
		return &windy{PacketConn: end, weather: w, at: at.AddrPort().Addr()}, nil
	}
	v.options = []host.Option{host.WithSocket(v.bind), host.WithDefaults(defaults)}
	return v
}

// listenOn gives a node in memory an address in a subnet of its own.
func listenOn(seat int) func(*config.Config) {
	return func(c *config.Config) {
		c.Network.Listen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 1, byte(seat), 1}), 4433).String()
	}
}

// interval is the repair interval of nodes in the weather.
const interval = 3 * time.Minute

// TestPartitionsHeal (G24), in virtual time: seven nodes are parted in two, by links that carry nothing or
// carry one way only, after a storm that loses 30 % of what is sent; packets above 1,200 bytes never
// arrive. Within two intervals after it everything is at its target, and all invariants hold.
func TestPartitionsHeal(t *testing.T) {
	t.Parallel()
	seed := suite.UsualSeed(t, 24)
	rng := rand.New(rand.NewPCG(seed, 24))
	masks := rng.Perm(63)[:splits.Cases()]
	synctest.Test(t, func(t *testing.T) {
		w := &weather{rng: rng}
		v := w.village(t)
		for i := range 7 {
			v.add(listenOn(i), func(c *config.Config) {
				c.Replication.RepairInterval = config.Duration(interval)
				c.Replication.Replicas = 3
			})
		}
		for _, m := range v.nodes {
			v.meet(m, 6)
		}
		p := &parting{t: t, v: v, weather: w, folders: map[sdk.TesseraID]string{}, owners: map[sdk.TesseraID]*member{}}
		p.preserve(v.nodes[0])
		v.eventually("the first tessera to be at its target", p.atTarget)
		for i, mask := range masks {
			p.split(mask+1, i%2 == 1)
		}
		p.restores()
		for _, m := range v.nodes {
			m.stop()
			if err := invariants.Spooled(m.dir); err != nil {
				t.Error(err)
			}
		}
		splits.Executed(t, p.done, "splits")
	})
}

// parting is a village that is parted again and again.
type parting struct {
	t       *testing.T
	v       *village
	weather *weather
	folders map[sdk.TesseraID]string
	owners  map[sdk.TesseraID]*member
	done    int
}

// preserve creates a tessera and begins to publish it.
func (p *parting) preserve(owner *member) {
	p.t.Helper()
	dir := folder(p.t, map[string]int{"a.jpg": 4<<20 + 1000*len(p.folders), "b.txt": 10})
	id := create(p.t, owner, dir).ID
	p.folders[id], p.owners[id] = dir, owner
	if _, err := owner.Publish(p.t.Context(), id, localapi.PublishOptions{}, noProgress); err != nil {
		p.t.Fatal(err)
	}
}

// split parts the nodes by a mask, has both sides preserve something meanwhile, and checks that they come
// together again.
func (p *parting) split(mask int, oneWay bool) {
	p.t.Helper()
	left := map[netip.Addr]bool{}
	sides := map[bool]*member{}
	for i, m := range p.v.nodes {
		side := mask>>i&1 == 1
		left[m.Contact().Addr.Addr()] = side
		sides[side] = m
	}
	p.weather.set(0.3, nil, false)
	time.Sleep(20 * time.Second)
	p.weather.set(0, left, oneWay)
	time.Sleep(10 * time.Second)
	p.preserve(sides[p.done%3 == 0])
	time.Sleep(interval)
	p.weather.set(0, nil, false)
	healed := time.Now()
	for !p.atTarget() {
		if time.Since(healed) > 2*interval {
			p.t.Fatalf("split %07b, one way %v: not at target two intervals after it\n%s", mask, oneWay, p.words())
		}
		time.Sleep(5 * time.Second)
	}
	p.t.Logf("split %07b, one way %v: at target after %s", mask, oneWay, time.Since(healed))
	p.done++
	p.holds()
}

func (p *parting) atTarget() bool {
	for id, owner := range p.owners {
		if owner.status(id).Health != "healthy" {
			return false
		}
	}
	return true
}

func (p *parting) words() (out string) {
	for id, owner := range p.owners {
		s := owner.status(id)
		out += fmt.Sprintf("%s: %s, deficit %d, %d of %d held by %d nodes\n",
			id.Short(), s.Health, s.Deficit, s.Fragments.Held, s.Fragments.Total, len(s.Holders))
	}
	return out
}

// holds looks whether everything holds that must hold at any time: so whatever was acknowledged is still where
// it was acknowledged, or was given up for another holder.
func (p *parting) holds() {
	p.t.Helper()
	synctest.Wait()
	var nodes []invariants.Node
	for _, m := range p.v.nodes {
		nodes = append(nodes, m.seen())
	}
	if err := invariants.Check(nodes, &invariants.Harm{}); err != nil {
		p.t.Errorf("after %d splits:\n%v", p.done, err)
	}
}

// restores restores everything on a node that does not own it, byte for byte.
func (p *parting) restores() {
	p.t.Helper()
	for id, owner := range p.owners {
		other := p.v.nodes[0]
		if other == owner {
			other = p.v.nodes[1]
		}
		fetch(p.t, other, id, p.folders[id])
	}
}
