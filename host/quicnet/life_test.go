package quicnet_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// distant runs a test in virtual time, on a network with 20 ms between any two sockets.
func distant(t *testing.T, test func(t *testing.T, socket func() net.PacketConn)) {
	synctest.Test(t, func(t *testing.T) {
		network := &simnet.Simnet{
			LatencyFunc: simnet.StaticLatency(20 * time.Millisecond),
			Logger:      slog.New(slog.DiscardHandler),
		}
		link := simnet.LinkSettings{BitsPerSecond: 200 * simnet.Mibps}
		network.Start()
		t.Cleanup(network.Close)
		next := 0
		test(t, func() net.PacketConn {
			next++
			at := &net.UDPAddr{IP: simnet.IntToPublicIPv4(next << 8).To4(), Port: 4433}
			return network.NewEndpoint(at, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})
		})
	})
}

// held makes a peer serve FetchPlan by waiting until the request is cancelled or release is closed.
func held(n *quicnet.Net, release <-chan struct{}) (entered chan struct{}, cancelled *atomic.Int32) {
	entered, cancelled = make(chan struct{}, 100), &atomic.Int32{}
	n.Handle(wire.KindFetchPlan, func(ctx context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		entered <- struct{}{}
		select {
		case <-ctx.Done():
			cancelled.Add(1)
			return ctx.Err()
		case <-release:
			return s.Send(&wire.PlanResponse{Plan: []byte("plan")})
		}
	})
	return entered, cancelled
}

func fetchPlan() wire.Message { return &wire.FetchPlan{Tessera: make([]byte, 32)} }

// TestIdleConnectionsAreReaped, in virtual time; those in use stay, however long.
func TestIdleConnectionsAreReaped(t *testing.T) {
	distant(t, func(t *testing.T, socket func() net.PacketConn) {
		a, b, c := start(t, newIdentity(t), socket(), quicnet.Config{}), start(t, newIdentity(t), socket(), quicnet.Config{}), start(t, newIdentity(t), socket(), quicnet.Config{})
		release := make(chan struct{})
		entered, _ := held(c, release)
		done := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			s, err := a.Open(ctx, c.Self())
			if err == nil {
				defer s.Close()
				err = s.Send(fetchPlan())
			}
			<-release
			if err == nil {
				_, err = s.Recv()
			}
			done <- err
		}()
		ping(t, a, b.Self())
		<-entered
		time.Sleep(100 * time.Second)
		if s := a.Stats(); s.Size != 2 || s.Evictions != 0 {
			t.Errorf("after 100 s: %+v", s)
		}
		time.Sleep(100 * time.Second)
		if s := a.Stats(); s.Size != 1 || s.Evictions != 1 {
			t.Errorf("after 200 s: %+v", s)
		}
		if s := b.Stats(); s.Size != 0 {
			t.Errorf("the other side keeps it: %+v", s)
		}
		close(release)
		if err := <-done; err != nil {
			t.Errorf("the one in use: %v", err)
		}
		ping(t, a, b.Self())
		if s := a.Stats(); s.Misses != 3 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRoomIsMadeForTheNew(t *testing.T) {
	a := node(t, quicnet.Config{MaxConnections: 2})
	var others []*quicnet.Net
	for range 4 {
		others = append(others, node(t, quicnet.Config{}))
		ping(t, a, others[len(others)-1].Self())
	}
	if s := a.Stats(); s.Size != 2 || s.Evictions != 2 {
		t.Errorf("%+v", s)
	}
	ping(t, others[0], a.Self()) // a stranger gets room as well
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for _, o := range others[2:] {
		entered, _ := held(o, release)
		waiting.Go(func() { a.Call(ctx, o.Self(), fetchPlan()) })
		<-entered
	}
	if _, err := a.Call(deadline(t, 10*time.Second), others[1].Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrFull) {
		t.Errorf("all in use: %v", err)
	}
	if _, err := others[1].Call(deadline(t, 10*time.Second), a.Self(), &wire.Ping{}); wire.CodeOf(err) != wire.Code_BUSY {
		t.Errorf("a stranger, when all are in use: %v", err)
	}
	cancel()
	waiting.Wait()
	close(release)
	ping(t, others[1], a.Self())
}

// TestOneDialForAll who want the same peer at once.
func TestOneDialForAll(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() { ping(t, a, b.Self()) })
	}
	group.Wait()
	if s := b.Stats(); s.Size != 1 {
		t.Errorf("%+v", s)
	}
}

// TestSimultaneousDials: both sides dial at once, again and again; every request is served, and one
// connection is left.
func TestSimultaneousDials(t *testing.T) {
	for range 20 {
		config := quicnet.Config{ReaperInterval: 10 * time.Millisecond}
		a, b := node(t, config), node(t, config)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { ping(t, a, b.Self()) })
			group.Go(func() { ping(t, b, a.Self()) })
		}
		group.Wait()
		waitFor(t, func() bool { return a.Stats().Size == 1 && b.Stats().Size == 1 })
		ping(t, a, b.Self())
		ping(t, b, a.Self())
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
// TestRestartedPeerIsFoundAgain: the old connection is dead, and the next call makes a new one at once.
// The peer comes back on the same address, with the same keys.
func TestRestartedPeerIsFoundAgain(t *testing.T) {
	a := node(t, quicnet.Config{})
	id := newIdentity(t)
	pc, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := pc.LocalAddr().String()
	mute := &muted{PacketConn: pc}
	first, err := quicnet.Listen(quicnet.Config{PowBits: powBits}, id, mute)
	if err != nil {
		t.Fatal(err)
	}
	first.Handle(wire.KindPing, pong)
	served := make(chan struct{})
	go func() {
		defer close(served)
		first.Serve(t.Context())
	}()
	contact := first.Self()
	ping(t, a, contact)
	mute.on.Store(true) // it dies without a word
	first.Close()
	<-served
	pc, err = quicnet.Bind(at)
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, id, pc, quicnet.Config{})
	begun := time.Now()
	ping(t, a, contact)
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	ping(t, second, a.Self())
}

// muted is a socket that can fall silent.
type muted struct {
	net.PacketConn
	on atomic.Bool
}

func (m *muted) WriteTo(p []byte, to net.Addr) (int, error) {
	if m.on.Load() {
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
func (m *muted) SetReadBuffer(int) error { return nil }

func (m *muted) SetWriteBuffer(int) error { return nil }

// TestSilentPeer, in virtual time: a peer that vanished costs one deadline, is reported, and its dead
// connection is not tried again.
func TestSilentPeer(t *testing.T) {
	distant(t, func(t *testing.T, socket func() net.PacketConn) {
		a := start(t, newIdentity(t), socket(), quicnet.Config{})
		mute := &muted{PacketConn: socket()}
		b := start(t, newIdentity(t), mute, quicnet.Config{})
		var lost atomic.Int32
		a.OnLost(func(c identity.Contact) {
			if c == b.Self() {
				lost.Add(1)
			}
		})
		ping(t, a, b.Self())
		mute.on.Store(true)
		begun := time.Now()
		if _, err := a.Call(t.Context(), b.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrSilent) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("took %s", took)
		}
		synctest.Wait()
		if lost.Load() != 1 || a.Stats().Size != 0 {
			t.Errorf("told %d times, %d connections", lost.Load(), a.Stats().Size)
		}
		begun = time.Now()
		if _, err := a.Call(t.Context(), b.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 10*time.Second || lost.Load() != 2 {
			t.Errorf("took %s, told %d times", took, lost.Load())
		}
		begun = time.Now()
		if _, err := a.Call(t.Context(), b.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 0 || lost.Load() != 2 {
			t.Errorf("a peer that just failed costs %s again, told %d times", took, lost.Load())
		}
		time.Sleep(time.Second)
		mute.on.Store(false)
		ping(t, a, b.Self())
		mute.on.Store(true) // nobody asks: the keep-alive notices
		time.Sleep(20 * time.Second)
		if lost.Load() != 3 || a.Stats().Size != 0 {
			t.Errorf("told %d times, %d connections", lost.Load(), a.Stats().Size)
		}
	})
}

// TestThinkingPeer, in virtual time: a peer that takes its time to answer is not taken for a dead one.
func TestThinkingPeer(t *testing.T) {
	distant(t, func(t *testing.T, socket func() net.PacketConn) {
		a, b := start(t, newIdentity(t), socket(), quicnet.Config{}), start(t, newIdentity(t), socket(), quicnet.Config{})
		release := make(chan struct{})
		time.AfterFunc(50*time.Second, func() { close(release) })
		held(b, release)
		if _, err := a.Call(t.Context(), b.Self(), fetchPlan()); err != nil {
			t.Error(err)
		}
		if s := a.Stats(); s.Misses != 1 || s.Size != 1 {
			t.Errorf("%+v", s)
		}
	})
}
