package repair

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// sample draws, of all that each holder claims in a round, as much as will be asked of it, every claim as
// likely as any other, without keeping the others (reservoir sampling, Vitter's algorithm R).
type sample struct {
	size int

	mu    sync.Mutex // guards below
	drawn map[sdk.NodeKey]*reservoir
}

type reservoir struct {
	holder identity.Contact
	seen   int
	claims []claim
}

func newSample(size int) *sample { return &sample{size: size, drawn: map[sdk.NodeKey]*reservoir{}} }

// add offers the claims of a holder.
func (s *sample) add(_ context.Context, holder identity.Contact, claims []claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.drawn[holder.Key]
	if r == nil {
		r = &reservoir{}
		s.drawn[holder.Key] = r
	}
	r.holder = holder
	for _, c := range claims {
		r.seen++
		if len(r.claims) < s.size {
			r.claims = append(r.claims, c)
		} else if at := rand.IntN(r.seen); at < s.size {
			r.claims[at] = c
		}
	}
	return nil
}

// all gives what was drawn, by holder.
func (s *sample) all() map[identity.Contact][]claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[identity.Contact][]claim, len(s.drawn))
	for r := range maps.Values(s.drawn) {
		out[r.holder] = r.claims
	}
	return out
}
