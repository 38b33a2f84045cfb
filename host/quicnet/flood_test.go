package quicnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/flood"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// TestHonestPeersUnderFlood (G22): while a hostile machine floods a node with half-open handshakes, 500
// streams that never end, junk and requests, honest peers put and get; then the memory comes back.
func TestHonestPeersUnderFlood(t *testing.T) {
	n := node(t, quicnet.Config{
		FrameTimeout: 3 * time.Second, SilentTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, ReaperInterval: time.Second,
		HandshakeRate: 20, SourceHandshakes: 4, SourceRequests: 200,
	})
	n.Handle(wire.KindFindNode, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.Nodes{})
	})
	body := bytes.Repeat([]byte("tessera."), 32<<10)
	n.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		got, err := io.ReadAll(s.Body(int64(m.(*wire.Replicate).GetSize())))
		if err != nil || !bytes.Equal(got, body) {
			return errors.Join(err, errors.New("not what was sent"))
		}
		return s.Send(&wire.Pong{})
	})
	n.Handle(wire.KindFetchFragment, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		if err := s.Send(&wire.FragmentHeader{Size: uint64(len(body))}); err != nil {
			return err
		}
		return s.SendBody(bytes.NewReader(body), int64(len(body)))
	})
	honest := []*quicnet.Net{node(t, quicnet.Config{}), node(t, quicnet.Config{}), node(t, quicnet.Config{})}
	base := settled(t, n)
	c := flood.Begin(t, flood.Target{Addr: n.Addr(), PowBits: powBits, Requests: []func() wire.Message{
		func() wire.Message { return &wire.FindNode{Target: make([]byte, 32)} },
	}})
	defer c.End()
	waitUntil(t, c.UnderWay)
	peak, good, tried := uint64(0), 0, 0
	rounds := 40
	if suite.Race() {
		rounds = 10
	}
	for round := range rounds {
		for _, h := range honest {
			if round%10 == 9 { // and one that comes anew
				h = node(t, quicnet.Config{})
			}
			for _, exchange := range []func() error{func() error { return put(h, n, body) }, func() error { return get(h, n, body) }} {
				tried++
				if err := exchange(); err != nil {
					t.Logf("round %d: %v", round, err)
					continue
				}
				good++
			}
		}
		peak = max(peak, heap())
	}
	c.End()
	t.Logf("%d of %d exchanges; against %+v; heap %d -> %d KiB at most; gate %+v", good, tried, c.Sent(), base>>10, peak>>10, n.Gate())
	if tried < 6*rounds || good*100 < tried*99 {
		t.Errorf("%d of %d honest exchanges", good, tried)
	}
	if peak > 256<<20 {
		t.Errorf("%d MiB of heap under flood", peak>>20)
	}
	waitUntil(t, func() bool { return n.Gate().HalfOpen == 0 && n.Stats().Active == 0 })
	if after := settled(t, n); after > base+32<<20 {
		t.Errorf("%d MiB of heap afterwards, %d before", after>>20, base>>20)
	}
}

func put(from, to *quicnet.Net, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to.Self())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: uint64(len(body))}); err != nil {
		return err
	}
	if err := s.SendBody(bytes.NewReader(body), int64(len(body))); err != nil {
		return err
	}
	_, err = s.Recv()
	return err
}

func get(from, to *quicnet.Net, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to.Self())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&wire.FetchFragment{Tessera: make([]byte, 32), Checksum: make([]byte, 32)}); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	got, err := io.ReadAll(s.Body(int64(len(body))))
	if err == nil && !bytes.Equal(got, body) {
		err = errors.New("not what is held")
	}
	return err
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settled is the heap that is in use once the collector had its turn.
func settled(t *testing.T, _ *quicnet.Net) uint64 {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	return heap()
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
