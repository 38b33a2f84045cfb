package scatter_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
)

// TestTheLastOnesTakeWhatNobodyElseTakes passes a peer over as long as others take fragments, whatever it is that
// leaves it alone.
func TestTheLastOnesTakeWhatNobodyElseTakes(t *testing.T) {
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	peers := candidates(4)
	peers[1].Last = true
	last := peers[1].Peer
	for name, c := range map[string]struct {
		peers   []scatter.Candidate
		missing []health.Missing
		refuse  bool // all others
		atMost  int
		want    int // fragments at the last one
	}{
		"others take them":        {peers: peers, missing: missing(9), want: 0},
		"nobody else is there":    {peers: peers[1:2], missing: missing(9), want: 9},
		"the others refuse":       {peers: peers, missing: missing(9), refuse: true, want: 9},
		"all others have a copy":  {peers: peers, missing: []health.Missing{{Index: 0, Copies: 4}}, want: 1},
		"a newcomer takes them":   {peers: peers[:2], missing: missing(3), atMost: 1, want: 0},
		"it is the only newcomer": {peers: peers[1:2], missing: missing(3), atMost: 2, want: 3},
	} {
		var mu sync.Mutex
		got, early := 0, false
		taken := map[identity.Contact]bool{}
		j := job(0, c.peers, func(to identity.Contact) error {
			mu.Lock()
			defer mu.Unlock()
			if to == last {
				got++
				early = early || !c.refuse && len(taken) < len(c.peers)-1
				return nil
			}
			taken[to] = true
			if c.refuse {
				return errors.New("full")
			}
			return nil
		})
		j.Missing, j.AtMost = c.missing, c.atMost
		r, err := scatter.Run(t.Context(), engine, 2, j)
		if err != nil || len(r.Left) != 0 || got != c.want || early {
			t.Errorf("%s: it got %d fragments, want %d, before others: %t, left %v, %v", name, got, c.want, early, r.Left, err)
		}
	}
}
