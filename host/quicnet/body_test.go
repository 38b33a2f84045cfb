package quicnet_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

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
func (l *lossy) SetReadBuffer(int) error { return nil }

func (l *lossy) SetWriteBuffer(int) error { return nil }
