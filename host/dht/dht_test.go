package dht_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestEveryoneOfASmallNetworkKnowsAll(t *testing.T) {
	_, houses := settle(t, 13, dht.Config{})
	for i, h := range houses {
		if got := len(h.Peers()); got != 12 {
			t.Errorf("node %d knows %d of 12", i, got)
		}
	}
}

// TestLookupFindsTheNearest compares lookups in a network many times the size of a table with the truth.
func TestLookupFindsTheNearest(t *testing.T) {
	_, houses := settle(t, 100, dht.Config{})
	for i := range 20 {
		target := dht.ID(tessera(i))
		asker := houses[(i*37+11)%len(houses)]
		var want []identity.Contact
		for _, h := range houses {
			if h != asker {
				want = append(want, h.self)
			}
		}
		slices.SortFunc(want, func(a, b identity.Contact) int { return nearer(target, a, b) })
		var got []identity.Contact
		for _, k := range asker.Lookup(short(t), target) {
			got = append(got, k.Contact)
			if k.Owner.IsZero() || k.RoundTrip == 0 || k.LastSeen.IsZero() || k.UptimePPM() != 1_000_000 {
				t.Errorf("poor record: %+v", k)
			}
		}
		if !slices.Equal(got, want[:20]) {
			t.Errorf("lookup %d does not find the 20 nearest", i)
		}
	}
}

func nearer(target dht.ID, a, b identity.Contact) int {
	x, y := a.ID(), b.ID()
	for i := range target {
		if c := int(x[i]^target[i]) - int(y[i]^target[i]); c != 0 {
			return c
		}
	}
	return 0
}

// TestHoldersAreFoundWithoutTheAnnouncer: pointers outlive who announced them, and the bootstrap node.
func TestHoldersAreFoundWithoutTheAnnouncer(t *testing.T) {
	n, tesseras := 60, 200
	if suite.Race() {
		n, tesseras = 40, 40
	}
	w, houses := settle(t, n, dht.Config{})
	var ids []sdk.TesseraID
	for i := range tesseras {
		ids = append(ids, tessera(i))
	}
	holder := houses[7]
	before := w.calls
	stored, err := holder.Announce(short(t), ids)
	if err != nil || stored < tesseras*20 {
		t.Fatalf("stored %d: %v", stored, err)
	}
	if asked := w.calls - before; asked > 6*tesseras { // one by one each would be a lookup and 20 stores
		t.Errorf("announcing %d tesseras took %d calls", tesseras, asked)
	}
	w.raze(holder, houses[0])
	for _, h := range []*house{houses[1], houses[n-1]} {
		for _, id := range ids[:20] {
			found, err := h.FindHolders(short(t), id)
			if err != nil || len(found) != 1 || found[0].Holder != holder.self || found[0].Tessera != id {
				t.Fatalf("found %v, %v", found, err)
			}
		}
	}
	if found, err := houses[3].FindHolders(short(t), tessera(9999)); err != nil || len(found) != 0 {
		t.Errorf("an unknown tessera: %v, %v", found, err)
	}
}

// TestPointersExpire and are announced anew in time by Step.
func TestPointersExpire(t *testing.T) {
	clock := newClock()
	held := []sdk.TesseraID{tessera(1)}
	w := newTown()
	config := dht.Config{Now: clock.now, Holdings: func(context.Context) ([]sdk.TesseraID, error) { return held, nil }}
	a, b := w.build(t, config), w.build(t, dht.Config{Now: clock.now})
	if err := a.Bootstrap(short(t), []string{b.self.Addr.String()}); err != nil {
		t.Fatal(err)
	}
	for hour := range 40 { // stepped every hour: announced every eight
		for _, h := range []*house{a, b} {
			if err := h.Step(short(t)); err != nil {
				t.Fatal(err)
			}
		}
		if found, _ := b.FindHolders(short(t), held[0]); len(found) != 1 {
			t.Fatalf("hour %d: holders %v", hour, found)
		}
		clock.add(time.Hour)
	}
	held = nil
	clock.add(25 * time.Hour)
	if found, _ := b.FindHolders(short(t), tessera(1)); len(found) != 0 {
		t.Errorf("a day after the last announcement: %v", found)
	}
}

// TestLeadersKeepPointersFresh: what a node leads is announced every eight hours, the rest before it
// expires.
func TestLeadersKeepPointersFresh(t *testing.T) {
	clock := newClock()
	lead, follow := tessera(1), tessera(2)
	w := newTown()
	a := w.build(t, dht.Config{
		Now:      clock.now,
		Holdings: func(context.Context) ([]sdk.TesseraID, error) { return []sdk.TesseraID{lead, follow}, nil },
		Leads:    func(id sdk.TesseraID) bool { return id == lead },
	})
	b := w.build(t, dht.Config{Now: clock.now})
	if err := a.Bootstrap(short(t), []string{b.self.Addr.String()}); err != nil {
		t.Fatal(err)
	}
	announced := map[sdk.TesseraID]map[time.Time]bool{lead: {}, follow: {}}
	for range 60 {
		if err := a.Step(short(t)); err != nil {
			t.Fatal(err)
		}
		for id, times := range announced {
			found, _ := b.FindHolders(short(t), id)
			if len(found) != 1 {
				t.Fatalf("%s is not found", id.Short())
			}
			times[found[0].Time] = true
		}
		clock.add(time.Hour)
	}
	if n, m := len(announced[lead]), len(announced[follow]); n < 7 || m != 3 {
		t.Errorf("announced %d times in 60 hours what it leads, %d times what it does not; want 7 and 3", n, m)
	}
}

func TestForgedPointersAreNotKept(t *testing.T) {
	w := newTown()
	var refused atomic.Int32
	a := w.build(t, dht.Config{Refused: func(string) { refused.Add(1) }})
	b := w.build(t, dht.Config{})
	now := time.Now()
	good := wire.SignPointer(b.id.Node, tessera(1), b.self, now)
	forged := []func(*wire.Pointer){
		func(p *wire.Pointer) { p.Tessera = tessera(2) },
		func(p *wire.Pointer) { p.Holder.Key = a.self.Key },
		func(p *wire.Pointer) { p.Holder.Addr = netip.MustParseAddrPort("11.9.9.9:1") },
		func(p *wire.Pointer) { p.Expires = p.Expires.Add(time.Hour) },
		func(p *wire.Pointer) { p.Time = p.Time.Add(-time.Hour) },
		func(p *wire.Pointer) { p.Signature[0] ^= 1 },
		func(p *wire.Pointer) { *p = wire.SignPointer(b.id.Node, tessera(1), b.self, now.Add(-25*time.Hour)) },
		func(p *wire.Pointer) { *p = wire.SignPointer(b.id.Node, tessera(1), b.self, now.Add(3*time.Hour)) },
	}
	batch := &wire.StorePointers{}
	for _, forge := range forged {
		p := good
		forge(&p)
		batch.Pointers = append(batch.Pointers, p.Message())
	}
	m, err := a.Answer(b.self, batch)
	if err != nil || m.(*wire.StoreAck).GetStored() != 0 || int(m.(*wire.StoreAck).GetRefused()) != len(forged) {
		t.Fatalf("%v, %v", m, err)
	}
	batch.Pointers = append(batch.Pointers, good.Message())
	if m, _ = a.Answer(b.self, batch); m.(*wire.StoreAck).GetStored() != 1 {
		t.Fatalf("the good one is refused: %v", m)
	}
	replayed := &wire.StorePointers{Pointers: []*wire.SignedPointer{good.Message()}}
	if m, _ = a.Answer(w.build(t, dht.Config{}).self, replayed); m.(*wire.StoreAck).GetStored() != 0 {
		t.Errorf("a replayed one is kept: %v", m)
	}
	if n := int(refused.Load()); n != 2*len(forged)+1 {
		t.Errorf("%d refused pointers are counted, want %d", n, 2*len(forged)+1)
	}
	// The same lies told by whoever is asked.
	c := w.build(t, dht.Config{})
	c.Observe(b.peer())
	b.liar = func(wire.Message) wire.Message { return &wire.Pointers{Pointers: batch.Pointers[:len(forged)]} }
	if found, err := c.FindHolders(short(t), tessera(1)); err != nil || len(found) != 0 {
		t.Errorf("believed: %v, %v", found, err)
	}
}

// TestLiarsAndGarbage: contacts that do not exist, our own, malformed ones and answers to another
// question do not keep a lookup from its goal.
func TestLiarsAndGarbage(t *testing.T) {
	w, houses := settle(t, 30, dht.Config{SlowAfter: 20 * time.Millisecond, QueryTimeout: 200 * time.Millisecond})
	garbage := &wire.Nodes{}
	for i := range 20 {
		id, err := identity.Generate(0)
		if err != nil {
			t.Fatal(err)
		}
		c := wire.NewContact(identity.Contact{Key: id.Node.Key(), Addr: netip.MustParseAddrPort("11.200.0.1:1")})
		switch i % 4 {
		case 1:
			c.Addr.Ip = nil
		case 2:
			c.Addr.Port = 1 << 20
		case 3:
			c = wire.NewContact(houses[29].self)
		}
		garbage.Nodes = append(garbage.Nodes, c)
	}
	for i, h := range houses[1:6] {
		switch i % 3 {
		case 0:
			h.liar = func(wire.Message) wire.Message { return garbage }
		case 1:
			h.liar = func(wire.Message) wire.Message { return &wire.Pong{} }
		case 2:
			h.deaf = true
		}
	}
	asker := houses[29]
	found := asker.Lookup(short(t), dht.ID(tessera(5)))
	if len(found) < 15 {
		t.Errorf("only %d found", len(found))
	}
	for _, k := range found {
		if k.Contact.Key == asker.self.Key || w.nodes[k.Contact.Key] == nil {
			t.Errorf("found %v", k.Contact)
		}
	}
	for _, k := range asker.Peers() {
		if w.nodes[k.Contact.Key] == nil {
			t.Errorf("garbage in the book: %v", k.Contact)
		}
	}
}

// TestDeafPeersCostOneWait: who did not answer is not waited for again at once, and comes back.
func TestDeafPeersCostOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, houses := settle(t, 13, dht.Config{})
		for _, h := range houses[1:5] {
			h.deaf = true
		}
		asker := houses[12]
		lookup := func() (int, time.Duration) {
			begun := time.Now()
			return len(asker.Lookup(t.Context(), dht.ID(tessera(5)))), time.Since(begun)
		}
		if n, took := lookup(); n != 8 || took > 5*time.Second {
			t.Errorf("first: %d in %s", n, took)
		}
		if n, took := lookup(); n != 8 || took > 0 {
			t.Errorf("second: %d in %s", n, took)
		}
		time.Sleep(10 * time.Second) // they were asked again in the background
		for _, h := range houses[1:5] {
			if k, _ := asker.Peer(h.self.Key); k.Silent == 0 {
				t.Errorf("%s is deaf, but not known to be", k.Contact)
			}
			h.deaf = false
		}
		time.Sleep(time.Minute)
		if n, _ := lookup(); n != 12 {
			t.Errorf("after they came back: %d", n)
		}
	})
}

// TestCancelledLookupLeavesAtOnce, with the questions it had asked.
func TestCancelledLookupLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, houses := settle(t, 13, dht.Config{})
		for _, h := range houses[:12] {
			h.deaf = true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := houses[12].FindHolders(ctx, tessera(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 300*time.Millisecond {
			t.Errorf("took %s", took)
		}
		for _, k := range houses[12].Peers() {
			if k.Silent != 0 {
				t.Errorf("%s is called silent: nobody waited for it", k.Contact)
			}
		}
	})
}

// TestFullBucketsKeepTheLiving: a newcomer gets a place only when the oldest does not answer.
func TestFullBucketsKeepTheLiving(t *testing.T) {
	w, clock := newTown(), newClock()
	a := w.build(t, dht.Config{K: 1, Now: clock.now})
	var same []*house // in one bucket of a
	for len(same) < 3 {
		h := w.build(t, dht.Config{})
		x, y := h.id.Node.ID(), a.id.Node.ID()
		if (x[0]^y[0])>>7 == 1 {
			same = append(same, h)
		}
	}
	closest := func() identity.Contact {
		m, err := a.Answer(same[2].self, &wire.FindNode{Target: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.(*wire.Nodes).GetNodes()[0].Parse()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a.Observe(same[0].peer())
	a.Observe(same[1].peer())
	if k, _ := a.Peer(same[0].self.Key); k.Asked != 0 {
		t.Error("one who was heard this minute is doubted")
	}
	clock.add(2 * time.Minute)
	a.Observe(same[1].peer())
	waitFor(t, func() bool { k, _ := a.Peer(same[0].self.Key); return k.Answered == 1 })
	if closest() != same[0].self {
		t.Error("a newcomer took the place of a living contact")
	}
	w.raze(same[0])
	clock.add(2 * time.Minute)
	a.Observe(same[1].peer())
	waitFor(t, func() bool { k, _ := a.Peer(same[0].self.Key); return k.Silent > 0 })
	waitFor(t, func() bool { return closest() == same[1].self })
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestBootstrap(t *testing.T) {
	w := newTown()
	a, b := w.build(t, dht.Config{}), w.build(t, dht.Config{})
	if err := b.Bootstrap(short(t), nil); err != nil {
		t.Errorf("nowhere to go: %v", err)
	}
	if err := b.Bootstrap(short(t), []string{"11.77.0.1:1"}); !errors.Is(err, dht.ErrNoBootstrap) {
		t.Errorf("nobody there: %v", err)
	}
	named := b.id.Node.ID().String() + "@" + a.self.Addr.String()
	if err := b.Bootstrap(short(t), []string{named}); !errors.Is(err, quicnet.ErrWrongPeer) {
		t.Errorf("another node there: %v", err)
	}
	named = a.id.Node.ID().String() + "@" + a.self.Addr.String()
	if err := b.Bootstrap(short(t), []string{"11.77.0.1:1", named}); err != nil {
		t.Errorf("one of two answers: %v", err)
	}
	for _, bad := range []string{"", "host", ":1", "host:0", "host:99999", "xyz@host:1", "host:x", "@host:1"} {
		if err := dht.CheckAddress(bad); !errors.Is(err, dht.ErrAddress) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c := w.build(t, dht.Config{Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "seed.example" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("11.77.0.1"), a.self.Addr.Addr()}, nil
	}})
	if err := c.Bootstrap(short(t), []string{"seed.example:4433"}); err != nil || len(c.Peers()) != 2 {
		t.Errorf("by name: %v, %d peers", err, len(c.Peers()))
	}
}

// drawer is a Memory in memory.
type drawer struct{ peers []dht.Known }

func (d *drawer) Load(context.Context) ([]dht.Known, error) { return d.peers, nil }
func (d *drawer) Save(_ context.Context, peers []dht.Known) error {
	d.peers = peers
	return nil
}

func TestRestartWithoutBootstrap(t *testing.T) {
	w, houses := settle(t, 10, dht.Config{})
	memory := &drawer{}
	first := w.build(t, dht.Config{Memory: memory})
	if err := first.Bootstrap(short(t), []string{houses[0].self.Addr.String()}); err != nil {
		t.Fatal(err)
	}
	if err := first.Step(short(t)); err != nil || len(memory.peers) != 10 {
		t.Fatalf("%v, %d saved", err, len(memory.peers))
	}
	w.raze(houses[0], first)
	second := w.build(t, dht.Config{Memory: memory})
	if err := second.Bootstrap(short(t), nil); err != nil {
		t.Fatal(err)
	}
	if got := len(second.Lookup(short(t), dht.ID(tessera(1)))); got != 9 {
		t.Errorf("found %d of 9", got)
	}
}

// TestStepRejoins: a node whose peers all vanished finds back by its bootstrap address.
func TestStepRejoins(t *testing.T) {
	clock := newClock()
	w := newTown()
	a, b := w.build(t, dht.Config{Now: clock.now}), w.build(t, dht.Config{Now: clock.now})
	seed := w.build(t, dht.Config{Now: clock.now})
	if err := a.Bootstrap(short(t), []string{seed.self.Addr.String()}); err != nil {
		t.Fatal(err)
	}
	w.raze(seed)
	clock.add(time.Hour)
	if err := a.Step(short(t)); err != nil {
		t.Fatal(err) // it pings in this step, and learns
	}
	clock.add(time.Hour)
	if err := a.Step(short(t)); !errors.Is(err, dht.ErrNoBootstrap) {
		t.Fatalf("got %v", err)
	}
	b.self.Addr = seed.self.Addr // another node moves in
	w.mu.Lock()
	w.byAt[b.self.Addr] = b
	w.mu.Unlock()
	clock.add(time.Hour)
	if err := a.Step(short(t)); err != nil {
		t.Fatal(err)
	}
	if k, ok := a.Peer(b.self.Key); !ok || k.Silent != 0 {
		t.Error("did not find back")
	}
}

// TestRunStops with its context, and steps before.
func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, houses := settle(t, 3, dht.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- houses[1].Run(ctx) }()
		time.Sleep(10 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		k, _ := houses[1].Peer(houses[2].self.Key)
		if k.Answered == 0 || time.Since(k.LastSeen) > 6*time.Minute {
			t.Errorf("peers are not looked after: %+v", k)
		}
	})
}

func TestAnnounceAlone(t *testing.T) {
	w := newTown()
	a := w.build(t, dht.Config{})
	if _, err := a.Announce(short(t), []sdk.TesseraID{tessera(1)}); !errors.Is(err, dht.ErrNobody) {
		t.Errorf("got %v", err)
	}
	b := w.build(t, dht.Config{})
	if err := b.Bootstrap(short(t), []string{a.self.Addr.String()}); err != nil {
		t.Fatal(err)
	}
	if found, _ := b.FindHolders(short(t), tessera(1)); len(found) != 1 || found[0].Holder != a.self {
		t.Errorf("what was announced before anybody came: %v", found)
	}
	b.self.Addr = netip.AddrPort{}
	if _, err := b.Announce(short(t), []sdk.TesseraID{tessera(1)}); !errors.Is(err, dht.ErrNobody) {
		t.Errorf("without an address: %v", err)
	}
}
