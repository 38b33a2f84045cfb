package host_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// converging is how many nodes come together in memory.
var converging = suite.Converging

// How soon after all have started everything is found: where all are there, and where half of those that a node
// remembers are gone. Each of these costs three seconds, and eight are dialled at a time.
const (
	settling      = 10 * time.Second
	settlingAgain = 20 * time.Second
)

// TestManyNodesConverge, in virtual time: nodes that were given one address and start at the same moment find
// the pointers to every tessera; also when the node at that address is gone, and when all stop and half of them
// start again with no address, from the contacts in their indexes, half of which are gone.
func TestManyNodesConverge(t *testing.T) {
	t.Parallel() // with what computes on the other processor: its time is virtual
	seed := suite.UsualSeed(t, 18)
	synctest.Test(t, func(t *testing.T) {
		w := &weather{rng: rand.New(rand.NewPCG(seed, 18))}
		c := &crossroads{t: t, bind: w.village(t).bind}
		for range converging.Cases() {
			c.build()
		}
		first := c.nodes[0]
		c.announcers(1, 2, 3)
		c.start(first)
		c.startAll(settling, c.nodes[1:], first.at)
		cases := c.allFind()
		c.allKnow(min(len(c.nodes)-1, 20))
		first.stop()
		cases += c.allFind()
		c.stopAll()
		again := c.nodes[1 : 1+converging.Cases()/2]
		c.startAll(settlingAgain, again)
		cases += c.allFind()
		c.stopAll()
		n := 2*converging.Cases() - 1 + len(again)
		suite.Size{CI: n, Nightly: n}.Executed(t, cases, "searches of nodes that converged")
	})
}

// crossroads is a network of what others see of a node, which is the same as in a whole one: identity,
// transport, DHT, and its contacts in an index. Whole nodes are too heavy where there are so many, and so are
// indexes on disk.
type crossroads struct {
	t       *testing.T
	bind    func(listen string) (net.PacketConn, error)
	nodes   []*facade
	holders []*facade // each announces one tessera
	turn    int       // of allFind
}

// facade is one node of a crossroads.
type facade struct {
	id   *identity.Identity
	at   string     // where it listens
	kept dht.Memory // in its index, which it finds again when it starts again
	held []sdk.TesseraID
	net  *quicnet.Net
	dht  *dht.DHT
	stop func() // nil while it does not run
}

// build adds a node, in a subnet of its own, which does not run yet.
func (c *crossroads) build() {
	c.t.Helper()
	id, err := identity.Generate(powBits)
	if err != nil {
		c.t.Fatal(err)
	}
	index, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = index.Close() })
	n := len(c.nodes)
	ip := netip.AddrFrom4([4]byte{11, byte(1 + n>>8), byte(n), 1})
	c.nodes = append(c.nodes, &facade{id: id, at: netip.AddrPortFrom(ip, 4433).String(), kept: host.Contacts(index)})
}

// announcers has some of the nodes hold a tessera each.
func (c *crossroads) announcers(nodes ...int) {
	for _, i := range nodes {
		h := c.nodes[i]
		h.held = []sdk.TesseraID{sdk.TesseraID(h.id.Owner.Key())}
		c.holders = append(c.holders, h)
	}
}

// startAll starts nodes at one moment and lets them settle.
func (c *crossroads) startAll(wait time.Duration, nodes []*facade, bootstrap ...string) {
	c.t.Helper()
	for _, f := range nodes {
		c.start(f, bootstrap...)
	}
	time.Sleep(wait)
}

// start runs a node as a whole one runs this part of itself.
func (c *crossroads) start(f *facade, bootstrap ...string) {
	c.t.Helper()
	conn, err := c.bind(f.at)
	if err != nil {
		c.t.Fatal(err)
	}
	f.net, err = quicnet.Listen(quicnet.Config{PowBits: powBits}, f.id, conn)
	if err != nil {
		c.t.Fatal(err)
	}
	f.dht = dht.New(f.net, f.id.Node, dht.Config{
		PowBits: powBits, Memory: f.kept,
		Holdings: func(context.Context) ([]sdk.TesseraID, error) { return f.held, nil },
	})
	f.dht.Register(f.net)
	f.net.Handle(wire.KindPing, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.Pong{})
	})
	f.net.OnPeer(f.dht.Observe)
	f.net.OnLost(f.dht.Missed)
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return f.net.Serve(ctx) })
	running.Go(func() error { return f.dht.Run(ctx) })
	running.Go(func() error { return f.dht.Bootstrap(ctx, bootstrap) })
	f.stop = func() {
		f.stop = nil
		cancel()
		if err := errors.Join(running.Wait(), f.net.Close()); err != nil {
			c.t.Errorf("stop %s: %v", f.at, err)
		}
		f.dht.Close()
	}
}

func (c *crossroads) running() (out []*facade) {
	for _, f := range c.nodes {
		if f.stop != nil {
			out = append(out, f)
		}
	}
	return out
}

func (c *crossroads) stopAll() {
	for _, f := range c.running() {
		f.stop()
	}
}

// allFind has every node that runs look for one tessera, each time another, and counts who found just its
// holder.
func (c *crossroads) allFind() int {
	c.t.Helper()
	c.turn++
	var found atomic.Int32
	var searching sync.WaitGroup
	for i, f := range c.running() {
		holder := c.holders[(i+c.turn)%len(c.holders)]
		if holder == f { // it does not look for itself
			holder = c.holders[(i+c.turn+1)%len(c.holders)]
		}
		searching.Go(func() {
			pointers, err := f.dht.FindHolders(c.t.Context(), holder.held[0])
			if err != nil || len(pointers) != 1 || pointers[0].Holder != holder.net.Self() {
				c.t.Errorf("%s finds %v instead of %s: %v", f.at, pointers, holder.at, err)
				return
			}
			found.Add(1)
		})
	}
	searching.Wait()
	return int(found.Load())
}

// allKnow checks that every node that runs has met so many others.
func (c *crossroads) allKnow(least int) {
	c.t.Helper()
	for _, f := range c.running() {
		if known := len(f.dht.Peers()); known < least {
			c.t.Errorf("%s knows %d others, want %d", f.at, known, least)
		}
	}
}
