// Package gather answers: which k fragments can I get, from whom, soonest?
//
// It fetches any k fragments of a tessera from those who hold them into a spool, several at a time.
// A source that is slow is hedged: another fragment is asked of another peer, and whichever k are
// whole first win. What it hands over has been hashed against the plan.
package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tesseras/tesseras/host/identity"
)

// Source is a peer and the fragments it says it holds.
type Source struct {
	Peer      identity.Contact
	Fragments []int
}

// Fetcher gets one fragment from one peer to a safe place and returns once its hash was found right.
// It reports bytes as they come through progress, which tells a slow source from a dead one.
type Fetcher interface {
	Fetch(ctx context.Context, from identity.Contact, index int, progress func(bytes int)) error
}

// Config bounds a gathering.
type Config struct {
	Concurrent int           // fetches at a time; 0 = 4
	Stall      time.Duration // silence after which a fetch is hedged by another; 0 = 2 s
	// Progress is told the bytes that arrived, from several goroutines; may be nil.
	Progress func(bytes int)
}

// Got is a fragment that arrived whole.
type Got struct {
	Index int
	From  identity.Contact
}

// InsufficientError tells that fewer fragments could be had than are needed, and why each failed.
type InsufficientError struct {
	Have, Need int
	Causes     []error
}

func (e *InsufficientError) Error() string {
	s := fmt.Sprintf("only %d of the %d fragments needed could be fetched", e.Have, e.Need)
	if len(e.Causes) > 0 {
		s += fmt.Sprintf(" (%d attempts failed, the last: %v)", len(e.Causes), e.Causes[len(e.Causes)-1])
	}
	return s
}

// Unwrap gives every cause.
func (e *InsufficientError) Unwrap() []error { return e.Causes }

// Any fetches need fragments that are not in have, preferring low indices: with all data shards
// there is nothing to decode. It returns what arrived also when that was too little.
func Any(ctx context.Context, sources []Source, have []int, need int, fetcher Fetcher, config Config) ([]Got, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{
		fetcher: fetcher,
		config:  config,
		offers:  offersOf(sources, have),
		need:    need,
		load:    map[identity.Contact]int{},
		taken:   map[int]bool{},
		results: make(chan result),
	}
	r.config.Concurrent = cmp.Or(config.Concurrent, 4)
	r.config.Stall = cmp.Or(config.Stall, 2*time.Second)
	return r.loop(ctx, cancel)
}

// offer is one fragment at one peer, to be tried once.
type offer struct {
	index int
	peer  identity.Contact
}

func offersOf(sources []Source, have []int) []offer {
	var offers []offer
	for _, s := range sources {
		for _, i := range s.Fragments {
			if !slices.Contains(have, i) {
				offers = append(offers, offer{i, s.Peer})
			}
		}
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(a.index, b.index) })
	return offers
}

type result struct {
	*flight
	err error
}

// flight is a fetch under way.
type flight struct {
	offer
	cancel context.CancelFunc
	last   atomic.Int64 // unix nanoseconds of the latest sign of life
	hedged bool
	ended  bool // because another peer has the fragment too
}

// errStalled tells that a source was given up because it stood still and another has the same.
var errStalled = errors.New("stalled")

// run is the state of one gathering; only loop's goroutine touches it.
type run struct {
	fetcher Fetcher
	config  Config
	offers  []offer // not tried yet, lowest index first
	need    int
	flights []*flight
	load    map[identity.Contact]int // fetches under way by peer
	taken   map[int]bool             // indices under way or here
	got     []Got
	causes  []error
	results chan result
}

func (r *run) loop(ctx context.Context, cancel context.CancelFunc) ([]Got, error) {
	tick := time.NewTicker(r.config.Stall / 4)
	defer tick.Stop()
	defer r.drain(cancel)
	for {
		for len(r.got) < r.need && r.active() < min(r.config.Concurrent, r.need-len(r.got)) {
			if !r.start(ctx) {
				r.relieve()
				break
			}
		}
		if len(r.got) >= r.need {
			return r.got, nil
		}
		if len(r.flights) == 0 {
			return r.got, &InsufficientError{Have: len(r.got), Need: r.need, Causes: r.causes}
		}
		select {
		case <-ctx.Done():
			return r.got, ctx.Err()
		case res := <-r.results:
			r.land(res)
		case <-tick.C:
			r.hedge()
		}
	}
}

// active counts the flights that move: a hedged one no longer takes a place.
func (r *run) active() (n int) {
	for _, f := range r.flights {
		if !f.hedged {
			n++
		}
	}
	return n
}

// perPeer is how many fetches one peer serves at a time while others could serve too.
const perPeer = 2

// start takes the next offer: the lowest index that nobody fetches yet, from a peer that is not busy
// where there is one.
func (r *run) start(ctx context.Context) bool {
	free := func(o offer) bool { return !r.taken[o.index] }
	best := slices.IndexFunc(r.offers, func(o offer) bool { return free(o) && r.load[o.peer] < perPeer })
	if best < 0 {
		best = slices.IndexFunc(r.offers, free)
	}
	if best < 0 {
		return false
	}
	o := r.offers[best]
	r.offers = slices.Delete(r.offers, best, best+1)
	fctx, cancel := context.WithCancel(ctx)
	f := &flight{offer: o, cancel: cancel}
	f.last.Store(time.Now().UnixNano())
	r.flights = append(r.flights, f)
	r.load[o.peer]++
	r.taken[o.index] = true
	go func() {
		err := r.fetcher.Fetch(fctx, o.peer, o.index, func(n int) {
			f.last.Store(time.Now().UnixNano())
			if r.config.Progress != nil {
				r.config.Progress(n)
			}
		})
		r.results <- result{f, err}
	}()
	return true
}

func (r *run) land(res result) {
	res.cancel()
	r.flights = slices.DeleteFunc(r.flights, func(f *flight) bool { return f == res.flight })
	r.load[res.peer]--
	if res.err != nil && res.ended {
		res.err = errStalled
	}
	if res.err == nil {
		r.got = append(r.got, Got{res.index, res.peer})
		return
	}
	r.causes = append(r.causes, fmt.Errorf("fragment %d from %s: %w", res.index, res.peer.ID().Short(), res.err))
	delete(r.taken, res.index)
	r.yieldTo(res.peer)
}

// yieldTo moves a peer that failed behind all others.
func (r *run) yieldTo(peer identity.Contact) {
	slices.SortStableFunc(r.offers, func(a, b offer) int {
		return cmp.Compare(btoi(a.peer == peer), btoi(b.peer == peer))
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hedge gives the place of each stalled flight to another; the flight itself may still win.
func (r *run) hedge() {
	limit := time.Now().Add(-r.config.Stall).UnixNano()
	for _, f := range r.flights {
		stalled := f.last.Load() < limit
		if stalled && !f.hedged {
			r.yieldTo(f.peer)
		}
		f.hedged = stalled
	}
}

// relieve ends stalled flights whose fragment another peer has too, when there is no other fragment
// left to ask for. Two fetches of one fragment at a time would meet in the spool.
func (r *run) relieve() {
	for _, f := range r.flights {
		other := func(o offer) bool { return o.index == f.index && o.peer != f.peer }
		if f.hedged && !f.ended && slices.ContainsFunc(r.offers, other) {
			f.ended = true
			f.cancel()
		}
	}
}

// drain stops what is still under way and waits for it, so that nobody writes after Any returned.
func (r *run) drain(cancel context.CancelFunc) {
	cancel()
	for range r.flights {
		<-r.results
	}
}
