package quicnet_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
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

// TestCancellationReachesThePeer, from Call and from the context of an open stream.
func TestCancellationReachesThePeer(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	entered, cancelled := held(b, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if _, err := a.Call(ctx, b.Self(), fetchPlan()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	waitFor(t, func() bool { return cancelled.Load() == 1 })
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := a.Call(short, b.Self(), fetchPlan()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	waitFor(t, func() bool { return cancelled.Load() == 2 })
	ping(t, a, b.Self())
	if s := a.Stats(); s.Size != 1 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBrokenBodies: a body that fails at its source, or whose sender gives up, is never taken for whole.
func TestBrokenBodies(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	entered, result := make(chan struct{}), make(chan error)
	b.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		entered <- struct{}{}
		_, err := io.Copy(io.Discard, s.Body(int64(m.(*wire.Replicate).GetSize())))
		result <- err
		return err
	})
	const size = 1 << 20
	for name, c := range map[string]struct {
		body io.Reader
		want error // at the sender
	}{
		"too short": {bytes.NewReader(make([]byte, size-1)), io.ErrUnexpectedEOF},
		"failing":   {io.MultiReader(bytes.NewReader(make([]byte, size/2)), failing{}), errDisk},
		"empty":     {bytes.NewReader(nil), io.ErrUnexpectedEOF},
	} {
		s, err := a.Open(deadline(t, 10*time.Second), b.Self())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: size}); err != nil {
			t.Fatal(err)
		}
		<-entered
		if err := s.SendBody(c.body, size); !errors.Is(err, c.want) {
			t.Errorf("%s: sender: %v", name, err)
		}
		if err := <-result; err == nil {
			t.Errorf("%s: the receiver took it", name)
		}
		s.Close()
	}
	s, err := a.Open(deadline(t, 10*time.Second), b.Self())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: size}); err != nil {
		t.Fatal(err)
	}
	<-entered
	s.Close() // before any of the body
	if err := <-result; wire.CodeOf(err) != wire.Code_CANCELLED {
		t.Errorf("closed: %v", err)
	}
}

var errDisk = errors.New("disk says no")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

// TestEarlyAnswer: an answer that is no refusal ends the sending too, and is there for Recv.
func TestEarlyAnswer(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	b.Handle(wire.KindReplicate, pong)
	for range 20 {
		s, err := a.Open(deadline(t, 10*time.Second), b.Self())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		if err := s.SendBody(endless{}, 1<<40); err != nil {
			t.Errorf("send: %v", err)
		}
		if m, err := s.Recv(); err != nil || m.(*wire.Pong).GetFreeBytes() != 42 {
			t.Errorf("receive: %v, %v", m, err)
		}
		if _, err := s.Recv(); err == nil {
			t.Error("a second answer")
		}
		s.Close()
	}
}

// TestSlowBodies, in virtual time: a sender and a receiver below the floor are let go, one that is slow
// but above it is not, and neither is one whose counterpart is busy elsewhere for a while.
func TestSlowBodies(t *testing.T) {
	distant(t, func(t *testing.T, socket func() net.PacketConn) {
		a, b := start(t, newIdentity(t), socket(), quicnet.Config{}), start(t, newIdentity(t), socket(), quicnet.Config{})
		results := make(chan error, 1)
		pause := func() {}
		b.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
			body := s.Body(int64(m.(*wire.Replicate).GetSize()))
			io.ReadFull(body, make([]byte, 1000))
			pause()
			_, err := io.Copy(io.Discard, body)
			results <- err
			if err != nil {
				return err
			}
			return s.Send(&wire.Pong{})
		})
		send := func(size int64, body io.Reader) (sender, receiver error) {
			s, err := a.Open(t.Context(), b.Self())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: uint64(size)}); err != nil {
				t.Fatal(err)
			}
			sender = s.SendBody(body, size)
			return sender, <-results
		}
		begun := time.Now()
		sender, receiver := send(1<<30, &drip{n: 1 << 30, rate: 1000})
		if wire.CodeOf(receiver) != wire.Code_TOO_SLOW || wire.CodeOf(sender) != wire.Code_TOO_SLOW {
			t.Errorf("a slow sender: %v, told %v", receiver, sender)
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("it took %s to see", took)
		}
		if sender, receiver := send(1<<20, &drip{n: 1 << 20, rate: 10_000}); sender != nil || receiver != nil {
			t.Errorf("one above the floor: %v, %v", sender, receiver)
		}
		pause = func() { time.Sleep(25 * time.Second) }
		if sender, receiver := send(8<<20, io.LimitReader(endless{}, 8<<20)); sender != nil || receiver != nil {
			t.Errorf("a receiver that pauses once: %v, %v", sender, receiver)
		}
		pause = func() { time.Sleep(10 * time.Minute) }
		sender, _ = send(8<<20, io.LimitReader(endless{}, 8<<20))
		if wire.CodeOf(sender) != wire.Code_TOO_SLOW {
			t.Errorf("a receiver that takes nothing: %v", sender)
		}
	})
}

// drip gives n bytes at a rate per second.
type drip struct{ n, rate int }

func (d *drip) Read(p []byte) (int, error) {
	time.Sleep(time.Second / 10)
	n := min(len(p), d.n, d.rate/10)
	d.n -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestLossyNetwork: every body arrives as it was sent, although a fifth of the packets do not.
func TestLossyNetwork(t *testing.T) {
	distant(t, func(t *testing.T, socket func() net.PacketConn) {
		a := start(t, newIdentity(t), &lossy{PacketConn: socket(), rng: mrand.New(mrand.NewPCG(1, 1))}, quicnet.Config{})
		b := start(t, newIdentity(t), &lossy{PacketConn: socket(), rng: mrand.New(mrand.NewPCG(2, 2))}, quicnet.Config{})
		k := keep(b)
		body := make([]byte, 300<<10)
		rand.Read(body)
		if push(t, a, b.Self(), body); !bytes.Equal(k.get(), body) {
			t.Error("the body changed")
		}
		b.Handle(wire.KindReplicate, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
			return wire.Refuse(wire.Code_NO_SPACE, "full")
		})
		for range 10 { // the refusal and the request to stop may overtake each other
			s, err := a.Open(t.Context(), b.Self())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: 1 << 40}); err != nil {
				t.Fatal(err)
			}
			if err := s.SendBody(endless{}, 1<<40); wire.CodeOf(err) != wire.Code_NO_SPACE {
				t.Errorf("got %v", err)
			}
			s.Close()
		}
	})
}

// lossy loses a fifth of what is sent.
type lossy struct {
	net.PacketConn
	mu  sync.Mutex // guards rng
	rng *mrand.Rand
}

func (l *lossy) WriteTo(p []byte, to net.Addr) (int, error) {
	l.mu.Lock()
	lost := l.rng.IntN(5) == 0
	l.mu.Unlock()
	if lost {
		return len(p), nil
	}
	return l.PacketConn.WriteTo(p, to)
}

// SetReadBuffer and SetWriteBuffer keep quic-go from complaining on stderr.
func (l *lossy) SetReadBuffer(int) error  { return nil }
func (l *lossy) SetWriteBuffer(int) error { return nil }

// TestRestartedPeerIsFoundAgain: the old connection is dead, and the next call makes a new one at once.
// The peer comes back on the same address, with the same keys.
func TestRestartedPeerIsFoundAgain(t *testing.T) {
	var reset [32]byte
	rand.Read(reset[:])
	config := quicnet.Config{StatelessResetKey: &reset}
	a := node(t, config)
	id := newIdentity(t)
	pc, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := pc.LocalAddr().String()
	mute := &muted{PacketConn: pc}
	first, err := quicnet.Listen(quicnet.Config{StatelessResetKey: &reset, PowBits: powBits}, id, mute)
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
	second := start(t, id, pc, quicnet.Config{StatelessResetKey: &reset})
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
func (m *muted) SetReadBuffer(int) error  { return nil }
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
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := a.Call(ctx, b.Self(), &wire.Ping{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if lost.Load() != 1 || a.Stats().Size != 0 {
			t.Errorf("told %d times, %d connections", lost.Load(), a.Stats().Size)
		}
		begun := time.Now()
		if _, err := a.Call(t.Context(), b.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 10*time.Second || lost.Load() != 2 {
			t.Errorf("took %s, told %d times", took, lost.Load())
		}
		mute.on.Store(false)
		ping(t, a, b.Self())
		mute.on.Store(true) // nobody asks: the keep-alive notices
		time.Sleep(20 * time.Second)
		if lost.Load() != 3 || a.Stats().Size != 0 {
			t.Errorf("told %d times, %d connections", lost.Load(), a.Stats().Size)
		}
	})
}

// TestDrain lets requests finish and refuses new ones.
func TestDrain(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	release := make(chan struct{})
	entered, _ := held(b, release)
	first := make(chan error)
	go func() {
		_, err := a.Call(deadline(t, 10*time.Second), b.Self(), fetchPlan())
		first <- err
	}()
	<-entered
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Call(deadline(t, 10*time.Second), b.Self(), &wire.Ping{}); wire.CodeOf(err) != wire.Code_BUSY {
		t.Errorf("a new request: %v", err)
	}
	if _, err := node(t, quicnet.Config{}).Call(deadline(t, 10*time.Second), b.Self(), &wire.Ping{}); wire.CodeOf(err) != wire.Code_BUSY {
		t.Errorf("a new peer: %v", err)
	}
	close(release)
	if err := b.Drain(deadline(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Errorf("the request under way: %v", err)
	}
}

// TestCloseUnderLoad: whatever is going on, Close ends it all, and nothing is left (goleak looks).
func TestCloseUnderLoad(t *testing.T) {
	for range 5 {
		a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
		entered, _ := held(b, nil)
		b.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
			entered <- struct{}{}
			_, err := io.Copy(io.Discard, s.Body(int64(m.(*wire.Replicate).GetSize())))
			return err
		})
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { a.Call(t.Context(), b.Self(), fetchPlan()) })
			group.Go(func() {
				s, err := a.Open(t.Context(), b.Self())
				if err != nil {
					return
				}
				defer s.Close()
				s.Send(&wire.Replicate{Plan: []byte("plan"), Size: 1 << 40})
				s.SendBody(endless{}, 1<<40)
			})
		}
		for range 8 {
			<-entered
		}
		if err := errors.Join(b.Close(), a.Close()); err != nil {
			t.Error(err)
		}
		group.Wait()
		if _, err := a.Call(t.Context(), b.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrClosed) {
			t.Errorf("after it: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}

// TestWhereAmI: a node that listens everywhere learns from its peers where it is seen, and an advertised
// address is told to them.
func TestWhereAmI(t *testing.T) {
	pc, err := quicnet.Bind("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, newIdentity(t), pc, quicnet.Config{})
	if a.Self().Addr.Addr().IsValid() {
		t.Errorf("before anybody saw it: %s", a.Self())
	}
	b := node(t, quicnet.Config{Advertise: netip.MustParseAddrPort("203.0.113.5:99")})
	ping(t, a, identity.Contact{Key: b.Self().Key, Nonce: b.Self().Nonce, Addr: b.Addr()})
	want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Addr().Port())
	if a.Self().Addr != want || a.Views()[want] != 1 {
		t.Errorf("sees itself at %s, %v", a.Self(), a.Views())
	}
	if got := a.Connected()[0].Contact.Addr.String(); got != "203.0.113.5:99" {
		t.Errorf("the advertised address arrives as %s", got)
	}
	if receive, send, ok := quicnet.Buffers(pc); !ok || receive <= 0 || send <= 0 {
		t.Errorf("buffers: %d, %d, %v", receive, send, ok)
	}
}

func TestBindRefusals(t *testing.T) {
	taken, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, bad := range []string{"nonsense", "127.0.0.1:notaport", taken.LocalAddr().String(), "203.0.113.250:1"} {
		if pc, err := quicnet.Bind(bad); err == nil {
			pc.Close()
			t.Errorf("bound to %q", bad)
		}
	}
}
