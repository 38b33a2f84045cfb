package repair

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// sample draws, of all that each holder claims in a round, as much as will be asked of it, every claim as
// likely as any other, without keeping the others (reservoir sampling, Vitter's algorithm R).
type sample struct {
	size int
	// open is the claim that a holder was asked for before and left open: it is drawn whatever else is.
	open func(sdk.NodeKey) (*catalog.OpenChallenge, error)

	mu    sync.Mutex // guards below
	drawn map[sdk.NodeKey]*reservoir
}

type reservoir struct {
	holder identity.Contact
	open   *catalog.OpenChallenge
	again  []claim // the one that is open, where the holder still claims it
	seen   int
	claims []claim
}

func newSample(size int, open func(sdk.NodeKey) (*catalog.OpenChallenge, error)) *sample {
	return &sample{size: size, open: open, drawn: map[sdk.NodeKey]*reservoir{}}
}

// newSample begins the sample of a round.
func (s *Service) newSample() *sample {
	return newSample(s.config.Proofs, func(holder sdk.NodeKey) (*catalog.OpenChallenge, error) {
		row, err := s.Book.Audit(holder)
		return row.Open, err
	})
}

// add offers the claims of a holder.
func (s *sample) add(_ context.Context, holder identity.Contact, claims []claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.drawn[holder.Key]
	if r == nil {
		open, err := s.open(holder.Key)
		if err != nil {
			return err
		}
		r = &reservoir{open: open}
		s.drawn[holder.Key] = r
	}
	r.holder = holder
	for _, c := range claims {
		if r.open != nil && r.open.Tessera == c.Tessera && r.open.Index == c.Index {
			r.again = []claim{c}
			continue
		}
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
		out[r.holder] = append(r.again, r.claims...)
	}
	return out
}
