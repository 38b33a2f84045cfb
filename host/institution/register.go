// Package institution answers: is this peer the library or archive that it says it is?
//
// A claim is worth nothing. A node believes it once the domain that is claimed names the claiming
// node in a TXT record, which this node looked up itself; what others believe is not asked. The
// answer holds for a day and is looked up again before it runs out. A domain that no longer vouches
// for a node makes it a normal node at once; one that cannot be asked does when the day is over.
package institution

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tesseras/tesseras/sdk"
)

// Claim is what a node says of itself. The zero value is that of a normal node.
type Claim struct {
	Domain   string
	Operator string // who runs it; "" is the domain
	Pledge   uint64 // bytes promised to the network
}

// Node is a node that claims something, as its handshake proved it.
type Node struct {
	Key   sdk.NodeKey
	ID    sdk.NodeID
	Owner sdk.OwnerKey
}

// Verified is an institution's node that this node has verified.
type Verified struct {
	Domain, Operator string
	Pledge           uint64 // bytes, as the domain's record says
}

// Config bounds what strangers can make this node do. Zero fields take the defaults beside them.
type Config struct {
	Good    time.Duration // how long a domain's word holds; 24h
	Recheck time.Duration // until it is asked again; 6h
	Retry   time.Duration // until a domain is asked again that did not vouch or could not be asked; 10m
	Most    int           // claims remembered; 256
	Every   time.Duration // between two lookups, on average; 1s
}

// Deps are what a Register works with.
type Deps struct {
	Resolver Resolver
	Log      *slog.Logger
	Now      func() time.Time
}

// Register knows which peers are institutions. Run verifies; all other methods return at once.
type Register struct {
	Deps
	config Config
	wake   chan struct{}

	mu      sync.Mutex // guards entries and what they point to
	entries map[sdk.NodeKey]*entry
}

// entry is one claim and what became of it.
type entry struct {
	node     Node
	claim    Claim
	claimed  time.Time // when the node last said so
	due      time.Time // of the next lookup
	until    time.Time // the domain's word holds so long; zero = it does not vouch
	verified Verified
}

// New returns a Register that knows nobody.
func New(d Deps, c Config) *Register {
	c.Good = cmp.Or(c.Good, 24*time.Hour)
	c.Recheck = cmp.Or(c.Recheck, 6*time.Hour)
	c.Retry = cmp.Or(c.Retry, 10*time.Minute)
	c.Most = cmp.Or(c.Most, 256)
	c.Every = cmp.Or(c.Every, time.Second)
	return &Register{Deps: d, config: c, wake: make(chan struct{}, 1), entries: map[sdk.NodeKey]*entry{}}
}

// Claims notes what a peer says of itself. Saying nothing takes an earlier claim back.
func (r *Register) Claims(n Node, c Claim) {
	c.Domain = strings.ToLower(strings.TrimSuffix(c.Domain, "."))
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[n.Key]
	switch {
	case c.Domain == "":
		delete(r.entries, n.Key)
		return
	case e != nil && e.node == n && e.claim == c:
		e.claimed = now
		return
	case e == nil && !r.makeRoom():
		return
	}
	r.entries[n.Key] = &entry{node: n, claim: c, claimed: now, due: now}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// makeRoom forgets the unverified claim that was made longest ago when there are too many.
func (r *Register) makeRoom() bool {
	if len(r.entries) < r.config.Most {
		return true
	}
	var out *entry
	for _, e := range r.entries {
		if e.until.IsZero() && (out == nil || e.claimed.Before(out.claimed)) {
			out = e
		}
	}
	if out == nil {
		return false
	}
	delete(r.entries, out.node.Key)
	return true
}

// Of tells whether a node is an institution's, and whose.
func (r *Register) Of(key sdk.NodeKey) (Verified, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil || !r.Now().Before(e.until) {
		return Verified{}, false
	}
	return e.verified, true
}

// Owner tells whether an owner has a node that is an institution's.
func (r *Register) Owner(owner sdk.OwnerKey) bool {
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.node.Owner == owner && now.Before(e.until) {
			return true
		}
	}
	return false
}

// Run looks up what is due, one claim after another, until ctx ends.
func (r *Register) Run(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(r.config.Every), 4)
	for ctx.Err() == nil {
		e, wait := r.next()
		if e != nil {
			if pace.Wait(ctx) == nil {
				r.verify(ctx, *e)
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// next is a copy of the claim that is due first, or how long until one is.
func (r *Register) next() (*entry, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first *entry
	for _, e := range r.entries {
		if first == nil || e.due.Before(first.due) {
			first = e
		}
	}
	if first == nil {
		return nil, r.config.Recheck
	}
	if wait := first.due.Sub(r.Now()); wait > 0 {
		return nil, wait
	}
	e := *first
	return &e, 0
}

// lookupTime bounds one question to the resolver.
const lookupTime = 10 * time.Second

// verify asks the domain and notes what it says, unless the claim has changed meanwhile.
func (r *Register) verify(ctx context.Context, asked entry) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	pledge, err := Lookup(ctx, r.Resolver, asked.claim.Domain, asked.node.ID)
	log := r.Log.With("node", asked.node.ID.Short(), "domain", asked.claim.Domain)
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[asked.node.Key]
	if e == nil || e.node != asked.node || e.claim != asked.claim {
		return
	}
	was := now.Before(e.until)
	switch {
	case err == nil:
		e.due, e.until = now.Add(r.config.Recheck), now.Add(r.config.Good)
		e.verified = Verified{Domain: e.claim.Domain, Operator: cmp.Or(e.claim.Operator, e.claim.Domain), Pledge: pledge}
		if !was {
			log.Info("an institution's node", "pledge", pledge)
		}
	case errors.Is(err, ErrNotVouched), errors.Is(err, errDomain):
		e.due, e.until = now.Add(r.config.Retry), time.Time{}
		log.Warn("not an institution's node: its claim does not hold", "err", err)
	default:
		e.due = now.Add(r.config.Retry)
		log.Warn("an institution's domain could not be asked", "still_believed", was, "err", err)
	}
}
