package quicnet_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

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

// TestWhereAmI: a node that listens everywhere learns from its peers where it is seen.
func TestWhereAmI(t *testing.T) {
	pc, err := quicnet.Bind("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, newIdentity(t), pc, quicnet.Config{})
	if a.Self().Addr.Addr().IsValid() {
		t.Errorf("before anybody saw it: %s", a.Self())
	}
	ping(t, a, node(t, quicnet.Config{}).Self())
	want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Addr().Port())
	if a.Self().Addr != want || a.Views()[want] != 1 {
		t.Errorf("sees itself at %s, %v", a.Self(), a.Views())
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
