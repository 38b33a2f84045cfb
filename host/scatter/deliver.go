package scatter

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/tempo"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// lookEvery is how often a push under way is looked at.
const lookEvery = time.Second

// push carries out a placement. What is refused goes to the next alternate at once. What cannot be
// delivered waits for the next question to the policy: peers that are out of reach are seldom alone, and
// a spread that leaves out all of them is even again.
func (r *run) push(ctx context.Context, placement *policy.Placement) {
	byID := map[sdk.NodeID]Candidate{}
	for _, c := range r.Candidates {
		byID[sdk.NodeID(c.View.Id)] = c
	}
	var g errgroup.Group
	g.SetLimit(2*r.concurrent - 1)
	ways := make(ways, r.concurrent)
	for _, a := range placement.Assignments {
		g.Go(func() error {
			d := &delivery{
				run: r, placement: placement, byID: byID, fragment: a.Fragment,
				passage: passage{ways: ways}, landed: make(chan landing),
			}
			d.deliver(ctx, a.Peer)
			return nil
		})
	}
	_ = g.Wait() // failures are in the result
}

// delivery brings one copy of a fragment to a peer. While a push is far slower than others a second one
// runs beside it, never more; whoever takes the fragment first has it, and the other is stopped. Only
// deliver's goroutine touches it.
type delivery struct {
	*run
	placement *policy.Placement
	byID      map[sdk.NodeID]Candidate
	fragment  uint32
	passage   passage

	to      sdk.NodeID // whom the placement gives it to by now
	pending bool       // who is not pushed to yet, since two others are
	pushes  []*push    // under way, the latest last
	landed  chan landing
	done    bool
}

// push is one fragment on its way to one peer.
type push struct {
	*tempo.Transfer
	to     Candidate
	cancel context.CancelFunc
	ended  bool // by us
}

func (p *push) end() {
	p.ended = true
	p.cancel()
}

type landing struct {
	*push
	err error
}

func (d *delivery) deliver(ctx context.Context, to sdk.NodeID) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	defer d.passage.leave()
	d.try(ctx, to, true)
	for len(d.pushes) > 0 {
		select {
		case l := <-d.landed:
			d.land(ctx, l)
		case <-look.C:
			d.hedge(ctx)
		}
	}
}

// try pushes to a peer when there is a way, or where that peer was too slow with another fragment to its
// alternate. A peer that failed once gets nothing more in this job.
func (d *delivery) try(ctx context.Context, to sdk.NodeID, more bool) {
	for ; more && d.passage.take(ctx); to, more = d.placement.Next(d.fragment, to) {
		d.to = to
		failed, slow := d.known(d.byID[to].Peer)
		if failed {
			return
		}
		if !slow {
			d.start(ctx, d.byID[to])
			return
		}
	}
}

// known tells what came out about a peer in this job.
func (r *run) known(p identity.Contact) (failed, slow bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[p], r.aside[p]
}

func (d *delivery) start(ctx context.Context, to Candidate) {
	ctx, cancel := context.WithCancel(ctx)
	p := &push{Transfer: d.field.Begin(), to: to, cancel: cancel}
	d.pushes = append(d.pushes, p)
	go func() { d.landed <- landing{p, d.Send(ctx, to.Peer, int(d.fragment), d.passing(p))} }()
}

// passing takes note of the bytes of a push that went over. When they all have, the next fragment may go.
func (d *delivery) passing(p *push) func(bytes int) {
	var moved int64 // by one goroutine
	return func(bytes int) {
		p.Moved(bytes)
		if moved += int64(bytes); moved >= d.ShardSize {
			d.passage.leave()
		}
	}
}

// land takes in how a push ended. One that we ended and that came to a good end all the same counts too.
func (d *delivery) land(ctx context.Context, l landing) {
	l.cancel()
	l.End(l.err == nil)
	d.pushes = slices.DeleteFunc(d.pushes, func(p *push) bool { return p == l.push })
	switch {
	case l.err == nil:
		d.took(l.to, int(d.fragment))
		d.done, d.pending = true, false
		for _, p := range d.pushes {
			p.end()
		}
	case l.ended:
		d.turnTo(ctx)
	default:
		d.fail(ctx, l)
	}
}

// fail records a push that did not end with a receipt. Another peer is tried now where this one refused,
// or where one that is too slow is all there would be.
func (d *delivery) fail(ctx context.Context, l landing) {
	d.mu.Lock()
	d.failed[l.to.Peer] = true
	d.result.Failures = append(d.result.Failures, Failure{int(d.fragment), l.to.Peer, l.err})
	d.mu.Unlock()
	switch {
	case d.pending:
		d.turnTo(ctx)
	case l.to.Peer != d.byID[d.to].Peer: // the one tried in its stead is under way
	case len(d.pushes) > 0 || wire.CodeOf(l.err) != wire.Code_OK:
		to, more := d.placement.Next(d.fragment, d.to)
		d.try(ctx, to, more)
	}
}

// hedge looks for another peer where the latest push is too slow; of two that both are the worse one gives
// way. Nothing is held against a slow peer but that it gets no more while there are others.
func (d *delivery) hedge(ctx context.Context) {
	latest := d.pushes[len(d.pushes)-1]
	if d.done || d.pending || latest.ended || !latest.Late() {
		return
	}
	d.mu.Lock()
	d.aside[latest.to.Peer] = true
	d.mu.Unlock()
	to, more := d.placement.Beside(d.fragment, d.to)
	if !more {
		if d.spare && len(d.pushes) == 1 {
			latest.end() // for the next question, about those left out of this one
		}
		return
	}
	d.to, d.pending = to, true
	if len(d.pushes) > 1 {
		slices.MaxFunc(d.pushes, func(a, b *push) int { return cmp.Compare(a.Left(), b.Left()) }).end()
	}
	d.turnTo(ctx)
}

// turnTo pushes to the peer that was found beside a slow one, once there is room.
func (d *delivery) turnTo(ctx context.Context) {
	if d.pending && len(d.pushes) < 2 {
		d.pending = false
		d.try(ctx, d.to, true)
	}
}
