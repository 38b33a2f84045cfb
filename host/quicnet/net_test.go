package quicnet_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// powBits keeps the tests' identities cheap.
const powBits = 8

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newIdentity(t testing.TB) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(powBits)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// start runs a Net on a socket until the test ends.
func start(t testing.TB, id *identity.Identity, pc net.PacketConn, config quicnet.Config) *quicnet.Net {
	t.Helper()
	if config.PowBits == 0 {
		config.PowBits = powBits
	}
	n, err := quicnet.Listen(config, id, pc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	n.Handle(wire.KindPing, pong)
	go func() { served <- n.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return n
}

// node runs a Net on a loopback socket.
func node(t testing.TB, config quicnet.Config) *quicnet.Net {
	t.Helper()
	pc, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, newIdentity(t), pc, config)
}

func pong(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
	return s.Send(&wire.Pong{FreeBytes: 42})
}

func deadline(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ping(t testing.TB, from *quicnet.Net, to identity.Contact) {
	t.Helper()
	m, err := from.Call(deadline(t, 10*time.Second), to, &wire.Ping{})
	if err != nil {
		t.Fatal(err)
	}
	if m.(*wire.Pong).GetFreeBytes() != 42 {
		t.Fatalf("got %v", m)
	}
}

func TestCallReusesTheConnection(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{FreeBytes: func() uint64 { return 7 }, Software: "test/1"})
	ping(t, a, b.Self())
	ping(t, a, b.Self())
	ping(t, b, a.Self()) // over the same connection
	if s := a.Stats(); s.Size != 1 || s.Hits != 1 || s.Misses != 1 {
		t.Errorf("caller: %+v", s)
	}
	if s := b.Stats(); s.Size != 1 || s.Hits != 1 || s.Misses != 0 {
		t.Errorf("callee: %+v", s)
	}
	p := a.Connected()[0]
	if p.Contact != b.Self() || p.FreeBytes != 7 || p.Software != "test/1" || p.SeenUs != a.Addr() || !p.Dialed {
		t.Errorf("peer: %+v", p)
	}
	if back := b.Connected()[0]; back.Contact != a.Self() || back.Dialed {
		t.Errorf("peer seen from the other side: %+v", back)
	}
}

func TestBodies(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	k := keep(b)
	b.Handle(wire.KindFetchFragment, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		body := k.get()
		if err := s.Send(&wire.FragmentHeader{Size: uint64(len(body))}); err != nil {
			return err
		}
		return s.SendBody(bytes.NewReader(body), int64(len(body)))
	})
	for _, size := range []int{0, 1, 1000, 128 << 10, 3<<20 + 17} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body := make([]byte, size)
			rand.Read(body)
			push(t, a, b.Self(), body)
			if !bytes.Equal(k.get(), body) {
				t.Fatal("body changed on its way there")
			}
			if back := fetch(t, a, b.Self()); !bytes.Equal(back, body) {
				t.Fatal("body changed on its way back")
			}
		})
	}
}

// keeper serves Replicate and keeps the last body that came.
type keeper struct {
	mu   sync.Mutex // guards body
	body []byte
}

func keep(n *quicnet.Net) *keeper {
	k := &keeper{}
	n.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		body, err := io.ReadAll(s.Body(int64(m.(*wire.Replicate).GetSize())))
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.body = body
		k.mu.Unlock()
		return s.Send(&wire.Pong{})
	})
	return k
}

func (k *keeper) get() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.body
}

func push(t testing.TB, from *quicnet.Net, to identity.Contact, body []byte) {
	t.Helper()
	s, err := from.Open(deadline(t, 20*time.Second), to)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: uint64(len(body))}); err != nil {
		t.Fatal(err)
	}
	if err := s.SendBody(bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
}

func fetch(t testing.TB, from *quicnet.Net, to identity.Contact) []byte {
	t.Helper()
	s, err := from.Open(deadline(t, 20*time.Second), to)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := make([]byte, 32)
	if err := s.Send(&wire.FetchFragment{Tessera: id, Checksum: id}); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(s.Body(int64(m.(*wire.FragmentHeader).GetSize())))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestEarlyRefusal: the receiver refuses after the header; the sender stops and learns why, although
// most of the body was never sent.
func TestEarlyRefusal(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	b.Handle(wire.KindReplicate, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
		return wire.Refuse(wire.Code_OVER_LIMIT, "you have %d MiB here", 1024).Later(time.Minute)
	})
	for range 50 {
		s, err := a.Open(deadline(t, 10*time.Second), b.Self())
		if err != nil {
			t.Fatal(err)
		}
		const size = 1 << 40
		if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: size}); err != nil {
			t.Fatal(err)
		}
		err = s.SendBody(endless{}, size)
		var refused *wire.Refusal
		if !errors.As(err, &refused) || refused.Code != wire.Code_OVER_LIMIT || refused.Text != "you have 1024 MiB here" || refused.RetryAfter != time.Minute {
			t.Fatalf("got %v", err)
		}
		s.Close()
	}
	ping(t, a, b.Self())
	if s := a.Stats(); s.Size != 1 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRefusals(t *testing.T) {
	a, b := node(t, quicnet.Config{}), node(t, quicnet.Config{})
	b.Handle(wire.KindFetchPlan, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
		return fmt.Errorf("look up: %w", wire.Refuse(wire.Code_NOT_FOUND, "no such tessera here"))
	})
	b.Handle(wire.KindForget, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
		return errors.New("open /secret/place: no such file")
	})
	for _, c := range []struct {
		req  wire.Message
		want wire.Code
		text string
	}{
		{&wire.FetchPlan{Tessera: make([]byte, 32)}, wire.Code_NOT_FOUND, "no such tessera here"},
		{&wire.Forget{Tombstone: []byte("x")}, wire.Code_INTERNAL, ""},
		{&wire.FindNode{Target: make([]byte, 32)}, wire.Code_UNSUPPORTED, "this node does not serve FindNode"},
	} {
		_, err := a.Call(deadline(t, 10*time.Second), b.Self(), c.req)
		var refused *wire.Refusal
		if !errors.As(err, &refused) || refused.Code != c.want || refused.Text != c.text {
			t.Errorf("%T: got %v", c.req, err)
		}
	}
}

func TestWrongPeers(t *testing.T) {
	a, b, c := node(t, quicnet.Config{}), node(t, quicnet.Config{}), node(t, quicnet.Config{})
	other := c.Self()
	other.Addr = b.Addr()
	if _, err := a.Call(deadline(t, 10*time.Second), other, &wire.Ping{}); !errors.Is(err, quicnet.ErrWrongPeer) {
		t.Errorf("another key: %v", err)
	}
	if _, err := a.Call(deadline(t, 10*time.Second), a.Self(), &wire.Ping{}); !errors.Is(err, quicnet.ErrSelf) {
		t.Errorf("ourselves by key: %v", err)
	}
	if _, err := a.Dial(deadline(t, 10*time.Second), identity.Contact{Addr: a.Addr()}); !errors.Is(err, quicnet.ErrSelf) {
		t.Errorf("ourselves by address: %v", err)
	}
	strict := node(t, quicnet.Config{PowBits: 60})
	if _, err := strict.Call(deadline(t, 10*time.Second), b.Self(), &wire.Ping{}); !errors.Is(err, identity.ErrWork) {
		t.Errorf("dialling a peer without the work: %v", err)
	}
	if _, err := a.Call(deadline(t, 10*time.Second), strict.Self(), &wire.Ping{}); wire.CodeOf(err) != wire.Code_BAD_SIGNATURE {
		t.Errorf("being one without the work: %v", err)
	}
	nobody := b.Self()
	nobody.Addr = netip.MustParseAddrPort("127.0.0.1:9")
	quick := node(t, quicnet.Config{DialTimeout: 200 * time.Millisecond})
	if _, err := quick.Call(deadline(t, 10*time.Second), nobody, &wire.Ping{}); !errors.Is(err, quicnet.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	peer, err := a.Dial(deadline(t, 10*time.Second), identity.Contact{Addr: b.Addr()})
	if err != nil || peer.Contact != b.Self() {
		t.Errorf("whoever is there: %v, %v", peer, err)
	}
}
