// Package gather answers: which k fragments can I get, from whom, soonest?
//
// It fetches any k fragments of a tessera from those who hold them into a spool, several at a time.
// A source that stands still, or is far slower than the others, is hedged: another fragment is asked of
// another peer, or the same where no other is left, and whichever k are whole first win. What it hands
// over has been hashed against the plan.
package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/tempo"
)

// Source is a peer and the fragments it says it holds.
type Source struct {
	Peer      identity.Contact
	Fragments []int
}

// Fetcher gets one fragment from one peer to a safe place and returns once its hash was found right.
// It reports bytes as they come through progress, which tells a slow source from a dead one. The same
// fragment may be fetched from two peers at a time.
type Fetcher interface {
	Fetch(ctx context.Context, from identity.Contact, index int, progress func(bytes int)) error
}

// Config bounds a gathering.
type Config struct {
	Concurrent int           // fetches at a time; 0 = 4
	Stall      time.Duration // silence after which a fetch is hedged by another; 0 = 2 s
	Size       int64         // bytes of a fragment, to tell who is slow; 0 = only silence tells
	// More gives sources that become known later and is closed after the last; nil = there are none.
	More <-chan Source
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
		have:    have,
		need:    need,
		field:   tempo.NewField(config.Size),
		load:    map[identity.Contact]int{},
		slow:    map[identity.Contact]bool{},
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
	*tempo.Transfer
	cancel context.CancelFunc
	hedged bool
	ended  bool // because another peer has the fragment too
}

func (f *flight) end() {
	f.ended = true
	f.cancel()
}

// errStalled tells that a source was given up because it was too slow and another has the same.
var errStalled = errors.New("stalled")

// run is the state of one gathering; only loop's goroutine touches it.
type run struct {
	fetcher Fetcher
	config  Config
	offers  []offer // not tried yet, lowest index first
	have    []int   // from the beginning
	need    int
	field   *tempo.Field
	flights []*flight
	load    map[identity.Contact]int  // fetches under way by peer
	slow    map[identity.Contact]bool // peers whose latest fetch was hedged
	got     []Got
	causes  []error
	results chan result
}

func (r *run) loop(ctx context.Context, cancel context.CancelFunc) ([]Got, error) {
	tick := time.NewTicker(r.config.Stall / 4)
	defer tick.Stop()
	defer r.drain(cancel)
	for {
		r.fill(ctx)
		if len(r.got) >= r.need {
			return r.got, nil
		}
		if len(r.flights) == 0 && r.config.More == nil {
			return r.got, &InsufficientError{Have: len(r.got), Need: r.need, Causes: r.causes}
		}
		select {
		case <-ctx.Done():
			return r.got, ctx.Err()
		case res := <-r.results:
			r.land(res)
		case s, more := <-r.config.More:
			r.learn(s, more)
		case <-tick.C:
			r.hedge()
		}
	}
}

// fill starts fetches until all places are taken.
func (r *run) fill(ctx context.Context) {
	for len(r.got) < r.need && r.active() < min(r.config.Concurrent, r.need-len(r.got)) {
		if !r.start(ctx) {
			r.relieve()
			return
		}
	}
}

// learn takes in a source that became known later.
func (r *run) learn(s Source, more bool) {
	if !more {
		r.config.More = nil
		return
	}
	r.offers = append(r.offers, offersOf([]Source{s}, r.have)...)
}

// active counts the flights that move: a hedged one no longer takes a place.
func (r *run) active() (n int) {
	for _, f := range r.flights {
		if !f.hedged && !f.ended {
			n++
		}
	}
	return n
}

// perPeer is how many fetches one peer serves at a time while others could serve too.
const perPeer = 2

// start takes the next offer.
func (r *run) start(ctx context.Context) bool {
	at := r.next()
	if at < 0 {
		return false
	}
	o := r.offers[at]
	r.offers = slices.Delete(r.offers, at, at+1)
	fctx, cancel := context.WithCancel(ctx)
	f := &flight{offer: o, cancel: cancel, Transfer: r.field.Begin()}
	r.flights = append(r.flights, f)
	r.load[o.peer]++
	go func() {
		err := r.fetcher.Fetch(fctx, o.peer, o.index, func(n int) {
			f.Moved(n)
			if r.config.Progress != nil {
				r.config.Progress(n)
			}
		})
		r.results <- result{f, err}
	}()
	return true
}

// next finds the best offer, -1 when there is none: the lowest index that nobody fetches yet, from the
// peer that is least busy; before a slow peer is asked for more, what it is slow with is asked of another.
func (r *run) next() int {
	free := func(o offer) bool { return !r.arrived(o.index) && len(r.flying(o.index)) == 0 }
	idle := func(o offer) bool { return r.load[o.peer] < perPeer }
	quick := func(o offer) bool { return !r.slow[o.peer] }
	for _, fits := range []func(offer) bool{
		func(o offer) bool { return free(o) && quick(o) && idle(o) },
		func(o offer) bool { return free(o) && quick(o) },
		func(o offer) bool { return quick(o) && r.second(o) },
		func(o offer) bool { return free(o) && idle(o) },
		free,
		r.second,
	} {
		if at := slices.IndexFunc(r.offers, fits); at >= 0 {
			return r.leastBusy(at, fits)
		}
	}
	return -1
}

// leastBusy finds, of the offers of one fragment that fit, that of the peer with the fewest fetches under way.
func (r *run) leastBusy(best int, fits func(offer) bool) int {
	for at, o := range r.offers {
		if o.index == r.offers[best].index && fits(o) && r.load[o.peer] < r.load[r.offers[best].peer] {
			best = at
		}
	}
	return best
}

// second tells whether an offer is of a fragment that one other peer is too slow with.
func (r *run) second(o offer) bool {
	under := r.flying(o.index)
	return !r.arrived(o.index) && len(under) == 1 && under[0].hedged && under[0].peer != o.peer
}

// flying lists the fetches of a fragment that are under way.
func (r *run) flying(index int) (list []*flight) {
	for _, f := range r.flights {
		if f.index == index {
			list = append(list, f)
		}
	}
	return list
}

// arrived tells whether a fragment is here.
func (r *run) arrived(index int) bool {
	return slices.ContainsFunc(r.got, func(g Got) bool { return g.Index == index })
}

func (r *run) land(res result) {
	res.cancel()
	res.End(res.err == nil)
	r.flights = slices.DeleteFunc(r.flights, func(f *flight) bool { return f == res.flight })
	r.load[res.peer]--
	if r.arrived(res.index) {
		return // another was sooner
	}
	if res.err != nil && res.ended {
		res.err = errStalled
	}
	if res.err == nil {
		r.got = append(r.got, Got{res.index, res.peer})
		delete(r.slow, res.peer)
		for _, f := range r.flying(res.index) {
			f.end()
		}
		return
	}
	r.causes = append(r.causes, fmt.Errorf("fragment %d from %s: %w", res.index, res.peer.ID().Short(), res.err))
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

// hedge gives the place of each flight that stands still, or is far slower than others, to another; the
// flight itself may still win.
func (r *run) hedge() {
	for _, f := range r.flights {
		slow := f.Late() || f.Silence() > r.config.Stall
		if slow && !f.hedged {
			r.yieldTo(f.peer)
			r.slow[f.peer] = true
		}
		f.hedged = slow
	}
}

// relieve ends the worse of two fetches of one fragment that are both too slow, where yet another peer has
// it and there is no other fragment left to ask for.
func (r *run) relieve() {
	for _, f := range r.flights {
		two := r.flying(f.index)
		if len(two) < 2 || slices.ContainsFunc(two, func(f *flight) bool { return f.ended || !f.hedged }) {
			continue
		}
		third := func(o offer) bool { return o.index == f.index && o.peer != two[0].peer && o.peer != two[1].peer }
		if slices.ContainsFunc(r.offers, third) {
			slices.MaxFunc(two, func(a, b *flight) int { return cmp.Compare(a.Left(), b.Left()) }).end()
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
