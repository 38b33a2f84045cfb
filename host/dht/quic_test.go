package dht_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"
	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

const powBits = 4

// wired is a whole node of this room: a DHT over real QUIC.
type wired struct {
	*dht.DHT
	net  *quicnet.Net
	stop func()
}

func newWired(t testing.TB, pc net.PacketConn) *wired {
	t.Helper()
	id, err := identity.Generate(powBits)
	if err != nil {
		t.Fatal(err)
	}
	n, err := quicnet.Listen(quicnet.Config{PowBits: powBits}, id, pc)
	if err != nil {
		t.Fatal(err)
	}
	d := dht.New(n, id.Node, dht.Config{PowBits: powBits})
	d.Register(n)
	n.Handle(wire.KindPing, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.Pong{})
	})
	n.OnPeer(d.Observe)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return n.Serve(ctx) })
	var once sync.Once
	w := &wired{DHT: d, net: n, stop: func() {
		once.Do(func() {
			cancel()
			d.Close()
			if err := errors.Join(n.Close(), group.Wait()); err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(w.stop)
	return w
}

// converge starts n nodes at once, all with the first one's address, and has each do one step.
func converge(t testing.TB, n int, socket func(i int) net.PacketConn) []*wired {
	t.Helper()
	nodes := make([]*wired, n)
	for i := range nodes {
		nodes[i] = newWired(t, socket(i))
	}
	together := func(f func(context.Context, *wired) error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var group errgroup.Group
		for _, w := range nodes {
			group.Go(func() error { return f(ctx, w) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	seed := nodes[0].net.Self().Addr.String()
	together(func(ctx context.Context, w *wired) error {
		if w == nodes[0] {
			return nil
		}
		return w.Bootstrap(ctx, []string{seed})
	})
	return nodes
}

// checkNetwork: all soon know all; what one announces is found after it and the first node are gone.
func checkNetwork(t testing.TB, nodes []*wired) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i, w := range nodes { // those who started together look around again, as Run does
		for len(w.Peers()) < len(nodes)-1 {
			if w.Lookup(ctx, dht.ID(w.net.Self().ID())); ctx.Err() != nil {
				t.Fatalf("node %d knows %d of %d", i, len(w.Peers()), len(nodes)-1)
			}
		}
	}
	ids := []sdk.TesseraID{tessera(1), tessera(2), tessera(3)}
	holder := nodes[len(nodes)-1]
	if _, err := holder.Announce(ctx, ids); err != nil {
		t.Fatal(err)
	}
	holder.stop()
	nodes[0].stop()
	var group sync.WaitGroup
	for _, w := range nodes[1:4] {
		for _, id := range ids {
			group.Go(func() {
				found, err := w.FindHolders(ctx, id)
				if err != nil || len(found) != 1 || found[0].Holder.Key != holder.net.Self().Key {
					t.Errorf("found %v, %v", found, err)
				}
			})
		}
	}
	group.Wait()
}

func TestTwentyNodesOverQUIC(t *testing.T) {
	nodes := 20
	if suite.Race() {
		nodes = 8
	}
	checkNetwork(t, converge(t, nodes, func(int) net.PacketConn {
		pc, err := quicnet.Bind("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return pc
	}))
}

// TestDistantNodes: the same with 40 ms between any two, in virtual time.
func TestDistantNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &simnet.Simnet{
			LatencyFunc: simnet.StaticLatency(20 * time.Millisecond),
			Logger:      slog.New(slog.DiscardHandler),
		}
		link := simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: 100 * simnet.Mibps},
			Uplink:   simnet.LinkSettings{BitsPerSecond: 100 * simnet.Mibps},
		}
		var sockets []net.PacketConn
		for i := range 10 {
			sockets = append(sockets, network.NewEndpoint(&net.UDPAddr{IP: simnet.IntToPublicIPv4(i << 8).To4(), Port: 4433}, link))
		}
		network.Start()
		defer network.Close()
		nodes := converge(t, len(sockets), func(i int) net.PacketConn { return sockets[i] })
		checkNetwork(t, nodes)
		for _, w := range nodes {
			w.stop()
		}
	})
}
