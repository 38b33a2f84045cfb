package host_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/flood"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// flooded is how many exchanges of honest nodes a flood lasts for.
var flooded = suite.Flooded

// What a whole node may use of memory while it is flooded, and how far above what it had before it may be within
// a minute.
const (
	floodedMost  = 512 << 20
	floodedAfter = 32 << 20
	floodedRest  = time.Minute
)

// TestAWholeNodeUnderFlood (G22): a node as tesd runs it, in a process of its own, is flooded with half-open
// handshakes, 500 streams that never end, junk, lookups and challenges, among these such that read all of a
// fragment. Meanwhile its neighbours put and get; then the memory comes back.
func TestAWholeNodeUnderFlood(t *testing.T) {
	v := &village{t: t}
	owner := v.add()
	holder := v.spawn()
	v.meet(owner, 1)
	h := &harried{t: t, holder: holder, owner: owner}
	h.prepare()
	pid := holder.cmd.Process.Pid
	holder.collect()
	base := resident(t, pid)
	c := flood.Begin(t, flood.Target{
		Addr: netip.MustParseAddrPort(holder.addr), PowBits: powBits,
		Requests: []func() wire.Message{
			func() wire.Message { return &wire.FindNode{Target: make([]byte, 32)} },
			func() wire.Message { return h.challenge(false) },
			func() wire.Message { return h.challenge(true) },
		},
	})
	defer c.End()
	v.eventually("the flood", c.UnderWay)
	for round := 0; h.tried < flooded.Cases(); round++ {
		h.exchanges(round)
	}
	sent := c.Sent()
	c.End()
	over := time.Now()
	t.Logf("%d of %d exchanges against %+v; %d MiB of memory before, %d at most", h.good, h.tried, sent, base>>20, h.most>>20)
	flooded.Executed(t, h.tried, "exchanges under flood")
	if h.good*100 < h.tried*99 {
		t.Errorf("%d of %d honest exchanges", h.good, h.tried)
	}
	for i, n := range sent.Answered {
		if n < 50 {
			t.Errorf("of request %d only %d were answered: this shows nothing", i, n)
		}
	}
	if h.most > floodedMost {
		t.Errorf("%d MiB of memory under flood, at most %d are allowed", h.most>>20, floodedMost>>20)
	}
	if !suite.Nightly() {
		holder.collect() // as it does by itself within half a minute
	}
	for resident(t, pid) > base+floodedAfter {
		if time.Since(over) > floodedRest {
			t.Fatalf("%d MiB of memory %s after the flood, %d before it", resident(t, pid)>>20, floodedRest, base>>20)
		}
		time.Sleep(time.Second)
	}
	t.Logf("%d MiB of memory %s after", resident(t, pid)>>20, time.Since(over).Round(time.Millisecond))
}

// harried is a holder under flood and those who need it.
type harried struct {
	t           *testing.T
	holder      *process
	owner       *member
	plan        *fragment.FragmentPlan // of what the holder is challenged about
	good, tried int
	most        int64 // bytes of memory it was seen with
}

// abreast is how many tesseras are put and got at once: an exchange waits more than it computes, for those who
// are not there, and the flood goes on as long as there are exchanges.
const abreast = 10

// prepare gives the holder what it is challenged about.
func (h *harried) prepare() {
	h.t.Helper()
	id := create(h.t, h.owner, folder(h.t, small)).ID
	if err := h.put(id); err != nil {
		h.t.Fatal(err)
	}
	h.plan = parsePlan(h.t, read(h.t, h.owner.plan(id)))
}

// challenge asks for a proof that the holder can give.
func (h *harried) challenge(whole bool) wire.Message {
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	return &wire.Challenge{Nonce: nonce, Tessera: h.plan.Tessera[:], Checksum: h.plan.Fragments[0][:], Whole: whole}
}

// outcome is how an exchange ended.
type outcome struct {
	what string
	err  error
}

// exchanges have the owner put some tesseras and get them back, from the holder alone, while somebody gets a
// fragment whom the holder has never met.
func (h *harried) exchanges(round int) {
	h.t.Helper()
	ended := make(chan outcome, 2*abreast+1)
	for i := range abreast {
		id := create(h.t, h.owner, folder(h.t, map[string]int{"words.txt": 1000 + abreast*round + i})).ID
		go func() {
			ended <- outcome{"put", h.put(id)}
			ended <- outcome{"get", h.get(id)}
		}()
	}
	go func() { ended <- outcome{"get by a newcomer", h.getAnew()} }()
	for range 2*abreast + 1 {
		h.count(<-ended)
	}
}

// count looks at the holder's memory too.
func (h *harried) count(o outcome) {
	h.t.Helper()
	h.tried++
	if o.err == nil {
		h.good++
	} else {
		h.t.Logf("%s: %v", o.what, o.err)
	}
	h.most = max(h.most, resident(h.t, h.holder.cmd.Process.Pid))
}

// put gives the holder a copy; there is nobody for the others.
func (h *harried) put(id sdk.TesseraID) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	p, err := h.owner.Publish(ctx, id, localapi.PublishOptions{}, noProgress)
	if err == nil && p.Placed != 1 {
		err = fmt.Errorf("placed %d", p.Placed)
	}
	return err
}

func (h *harried) get(id sdk.TesseraID) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	packed, err := h.owner.Fetch(ctx, id, noProgress)
	if err != nil {
		return err
	}
	if who, fragments := served(packed); len(who) != 1 || fragments != 1 {
		return fmt.Errorf("%d fragments from %v", fragments, who)
	}
	return packed.Write(io.Discard)
}

// getAnew fetches a fragment as a node of its own, with a connection of its own.
func (h *harried) getAnew() (err error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	id, err := identity.Generate(powBits)
	if err != nil {
		return err
	}
	conn, err := quicnet.Bind(h.holder.v.seat())
	if err != nil {
		return err
	}
	n, err := quicnet.Listen(quicnet.Config{PowBits: powBits}, id, conn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	p, err := n.Dial(ctx, identity.Contact{Addr: netip.MustParseAddrPort(h.holder.addr)})
	if err != nil {
		return err
	}
	want := fragment.FragmentID{Tessera: h.plan.Tessera, Shards: len(h.plan.Fragments), Checksum: h.plan.Fragments[0]}
	return peer.NewClient(n, id.Node.Key()).Fragment(ctx, p.Contact, want, h.plan.ShardSize(), io.Discard)
}
