// Package scatter answers: which peers get these fragments, and did they take them?
//
// It asks the placement policy and pushes with bounded concurrency. What is refused goes to the policy's
// alternates, the host's rules checked again each time, and so does what a peer is far slower with than
// others are: whoever takes it first has it. For the rest the policy is asked anew, with the peers that
// failed left out and those that took something counted. Who lately lost a fragment of the tessera is asked when
// nobody else is left. What cannot be placed is reported, never forgotten.
package scatter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/tempo"
	"github.com/tesseras/tesseras/sdk"
)

// Placer answers where fragments shall go; the answer keeps the host's rules.
type Placer interface {
	Place(ctx context.Context, request *sdk.PlaceRequest) (*policy.Placement, error)
}

// Candidate is a peer that could take fragments, and what the policy is told about it.
type Candidate struct {
	Peer identity.Contact
	View *sdk.Candidate // Id is the peer's node id
	Last bool           // it takes part only where nobody else is left
}

// Job is a set of fragments of one tessera that need holders.
type Job struct {
	Tessera    sdk.TesseraID
	Tier       sdk.FragmentationTier
	Data       int
	Parity     int
	ShardSize  int64
	Missing    []health.Missing
	Intent     sdk.Intent
	Caps       *sdk.Caps
	Holdings   []*sdk.Holding // who holds what already; not changed
	Candidates []Candidate
	// AtMost is how many candidates may take part, the first ones; one that fails makes room for the
	// next. 0 is all of them.
	AtMost int
	// Prepare is called once, when somebody was found and before the first Send; nil is nothing to do.
	Prepare func(ctx context.Context) error
	// Send pushes one fragment to one peer, tells moved of the bytes as they go, and returns nil once the
	// peer's receipt is safe. It is called from several goroutines, and for one fragment may be called for
	// two peers at a time; the later of both ends by its context unless its receipt is safe by then.
	Send func(ctx context.Context, to identity.Contact, index int, moved func(bytes int)) error
	// Done is told of each fragment that no peer is wanted for any more; nil is nobody. What is still being sent
	// of it may fail now.
	Done func(index int)
}

// Placed is a fragment that found a holder.
type Placed struct {
	Index int
	Peer  identity.Contact
}

// Failure is a push that did not end with a receipt.
type Failure struct {
	Index int
	Peer  identity.Contact
	Err   error
}

func (f Failure) Error() string {
	return fmt.Sprintf("fragment %d to %s: %v", f.Index, f.Peer.ID().Short(), f.Err)
}

// Unwrap gives the reason.
func (f Failure) Unwrap() error { return f.Err }

// Result tells what became of a job. Of a fragment that was pushed to two peers, since the first was slow,
// both may have it.
type Result struct {
	Placed   []Placed
	Left     []health.Missing // without a holder still
	Failures []Failure
	Yielded  bool   // the subnet cap gave way because there was no other way
	Reason   string // why something is left, in the policy's words
}

// Run places and pushes until nothing is left or no further peer takes anything. concurrent bounds the
// fragments whose bytes are under way; one fewer may wait for their receipts beside them. Each is pushed to one
// peer, or while that one is too slow to two. An error means that the job was cut short or the policy could not
// answer; the result is true in either case.
func Run(ctx context.Context, placer Placer, concurrent int, job Job) (Result, error) {
	r := &run{
		Job:        job,
		placer:     placer,
		concurrent: max(concurrent, 1),
		left:       slices.Clone(job.Missing),
		holdings:   cloneHoldings(job.Holdings),
		field:      tempo.NewField(job.ShardSize),
		failed:     map[identity.Contact]bool{},
		aside:      map[identity.Contact]bool{},
	}
	for _, c := range job.Candidates {
		if c.Last {
			r.aside[c.Peer] = true
		}
	}
	err := r.rounds(ctx)
	r.result.Left = r.left
	return r.result, err
}

// run is a job under way. Between rounds only Run's goroutine touches it.
type run struct {
	Job
	placer     Placer
	concurrent int
	left       []health.Missing
	holdings   []*sdk.Holding
	prepared   bool
	field      *tempo.Field
	readmitted bool // those set aside: nobody else is left
	spare      bool // there are willing peers that the latest question left out

	mu     sync.Mutex // guards below while pushes are under way
	failed map[identity.Contact]bool
	aside  map[identity.Contact]bool // left out while there are others: the Last, and who is slow
	result Result
}

func (r *run) rounds(ctx context.Context) error {
	for len(r.left) > 0 {
		candidates := r.willing()
		if len(candidates) == 0 {
			if r.readmit() {
				continue
			}
			r.result.Reason = cmp.Or(r.result.Reason, "no peer is left that could take it")
			return nil
		}
		placement, err := r.placer.Place(ctx, r.request(candidates))
		var deferred *policy.DeferredError
		if errors.As(err, &deferred) {
			if r.readmit() {
				continue
			}
			r.result.Reason = deferred.Reason
			return nil
		}
		if err != nil {
			return err
		}
		r.result.Yielded = r.result.Yielded || placement.SubnetCapYielded
		r.result.Reason = placement.Reason
		if err := r.prepare(ctx); err != nil {
			return err
		}
		failures, aside := len(r.result.Failures), len(r.aside)
		r.push(ctx, placement)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(r.result.Failures) == failures && len(r.aside) == aside && !r.readmit() {
			return nil // all that the policy would place is placed
		}
	}
	return nil
}

// willing lists the peers the policy is asked about: those that did not fail and are not set aside.
func (r *run) willing() []Candidate {
	out := slices.DeleteFunc(slices.Clone(r.Candidates), func(c Candidate) bool { return r.failed[c.Peer] || r.aside[c.Peer] })
	r.spare = r.AtMost > 0 && len(out) > r.AtMost && !r.readmitted
	if r.AtMost > 0 {
		out = out[:min(r.AtMost, len(out))]
	}
	return out
}

// readmit lets those that were set aside take part, once: they are better than nobody.
func (r *run) readmit() bool {
	if len(r.aside) == 0 || r.readmitted || len(r.left) == 0 {
		return false
	}
	r.readmitted = true
	clear(r.aside)
	return true
}

func (r *run) prepare(ctx context.Context) error {
	if r.prepared || r.Prepare == nil {
		return nil
	}
	r.prepared = true
	return r.Prepare(ctx)
}

func (r *run) request(candidates []Candidate) *sdk.PlaceRequest {
	now := time.Now()
	q := &sdk.PlaceRequest{
		Tessera:      r.Tessera[:],
		Tier:         r.Tier,
		DataShards:   uint32(r.Data),
		ParityShards: uint32(r.Parity),
		Intent:       r.Intent,
		Holdings:     r.holdings,
		Caps:         r.Caps,
		NowUnixMs:    now.UnixMilli(),
		Seed:         uint64(now.UnixNano()),
	}
	for _, m := range r.left {
		q.Pieces = append(q.Pieces, &sdk.Piece{Index: uint32(m.Index), SizeBytes: uint64(r.ShardSize), Copies: uint32(m.Copies)})
	}
	for _, c := range candidates {
		q.Candidates = append(q.Candidates, c.View)
	}
	return q
}

// took records that a peer has a fragment, and tells when it was the last one wanted for it.
func (r *run) took(c Candidate, index int) {
	if r.enough(c, index) && r.Done != nil {
		r.Done(index)
	}
}

// enough records that a peer has a fragment, and tells whether no other is wanted for it.
func (r *run) enough(c Candidate, index int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Placed = append(r.result.Placed, Placed{index, c.Peer})
	at := slices.IndexFunc(r.holdings, func(h *sdk.Holding) bool { return bytes.Equal(h.Id, c.View.Id) })
	if at < 0 {
		at = len(r.holdings)
		r.holdings = append(r.holdings, &sdk.Holding{
			Id: c.View.Id, Subnet: c.View.Subnet, Operator: c.View.Operator, Institutional: c.View.Institutional,
		})
	}
	r.holdings[at].Fragments = append(r.holdings[at].Fragments, uint32(index))
	for i := range r.left {
		if r.left[i].Index == index {
			r.left[i].Copies--
		}
	}
	r.left = slices.DeleteFunc(r.left, func(m health.Missing) bool { return m.Copies <= 0 })
	return !slices.ContainsFunc(r.left, func(m health.Missing) bool { return m.Index == index })
}

func cloneHoldings(holdings []*sdk.Holding) []*sdk.Holding {
	out := make([]*sdk.Holding, len(holdings))
	for i, h := range holdings {
		out[i] = &sdk.Holding{
			Id: h.Id, Subnet: h.Subnet, Operator: h.Operator, Institutional: h.Institutional,
			Fragments: slices.Clone(h.Fragments),
		}
	}
	return out
}
