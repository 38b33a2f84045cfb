package dht_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is a network without wires: a call is a function call, and a connection is noted on both sides
// as quicnet would.
type town struct {
	mu    sync.Mutex // guards below
	nodes map[sdk.NodeKey]*house
	byAt  map[netip.AddrPort]*house
	calls int
	vain  time.Duration // how long a dial takes that finds nobody
}

// house is one node of a town.
type house struct {
	*dht.DHT
	town *town
	id   *identity.Identity
	self identity.Contact
	// deaf: it does not answer until the caller gives up.
	deaf bool
	// liar, if set, answers in its stead.
	liar func(req wire.Message) wire.Message
	met  map[sdk.NodeKey]bool
}

var errGone = errors.New("nobody there")

func newTown() *town {
	return &town{nodes: map[sdk.NodeKey]*house{}, byAt: map[netip.AddrPort]*house{}}
}

// build adds a node. Addresses are of different public subnets.
func (w *town) build(t testing.TB, config dht.Config) *house {
	t.Helper()
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	n := len(w.nodes)
	w.mu.Unlock()
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 0x0b000001+uint32(n)<<8)
	h := &house{town: w, id: id, met: map[sdk.NodeKey]bool{}}
	h.self = identity.Contact{Key: id.Node.Key(), Nonce: id.Node.Nonce(), Addr: netip.AddrPortFrom(netip.AddrFrom4(ip), 4433)}
	config.PowBits = -1
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	h.DHT = dht.New(h, id.Node, config)
	t.Cleanup(h.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[h.self.Key], w.byAt[h.self.Addr] = h, h
	return h
}

// raze takes nodes off the network.
func (w *town) raze(houses ...*house) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range houses {
		delete(w.nodes, h.self.Key)
		delete(w.byAt, h.self.Addr)
		for _, other := range w.nodes {
			delete(other.met, h.self.Key)
		}
	}
}

func (h *house) Self() identity.Contact { return h.self }

func (h *house) peer() quicnet.Peer {
	return quicnet.Peer{Contact: h.self, Owner: h.id.Owner.Key()}
}

func (h *house) Dial(_ context.Context, to identity.Contact) (quicnet.Peer, error) {
	h.town.mu.Lock()
	other := h.town.nodes[to.Key]
	if to.Key.IsZero() {
		other = h.town.byAt[to.Addr]
	}
	vain := h.town.vain
	h.town.mu.Unlock()
	if other == nil || other.self.Addr != to.Addr {
		time.Sleep(vain)
		return quicnet.Peer{}, fmt.Errorf("dial %s: %w", to, errGone)
	}
	h.connect(other)
	return other.peer(), nil
}

func (h *house) connect(other *house) {
	h.town.mu.Lock()
	known := h.met[other.self.Key]
	h.met[other.self.Key], other.met[h.self.Key] = true, true
	h.town.mu.Unlock()
	if !known {
		h.Observe(other.peer())
		other.Observe(h.peer())
	}
}

func (h *house) Call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error) {
	h.town.mu.Lock()
	h.town.calls++
	other := h.town.nodes[to.Key]
	h.town.mu.Unlock()
	if other == nil || other.self.Addr != to.Addr {
		return nil, fmt.Errorf("call %s: %w", to, errGone)
	}
	h.connect(other)
	switch {
	case other.deaf:
		<-ctx.Done()
		return nil, ctx.Err()
	case other.liar != nil:
		if m := other.liar(req); m != nil {
			return m, nil
		}
	}
	if _, is := req.(*wire.Ping); is {
		return &wire.Pong{FreeBytes: 5}, nil
	}
	return other.Answer(h.self, req)
}

// settle makes a town of n nodes that all were given the first one's address.
func settle(t testing.TB, n int, config dht.Config) (*town, []*house) {
	t.Helper()
	w := newTown()
	houses := make([]*house, n)
	for i := range houses {
		houses[i] = w.build(t, config)
		if i == 0 {
			continue
		}
		if err := houses[i].Bootstrap(t.Context(), []string{houses[0].self.Addr.String()}); err != nil {
			t.Fatal(err)
		}
	}
	return w, houses
}

func tessera(n int) (id sdk.TesseraID) {
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

func short(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
