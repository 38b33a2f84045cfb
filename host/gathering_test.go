package host_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// gathering is how many nodes begin with one bootstrap address.
var gathering = suite.Gathering

// TestAGatheringNeedsNoCentre: nodes that were given one address find every tessera; also when the node
// at that address is gone, and when all start again with no address at all.
func TestAGatheringNeedsNoCentre(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	first := v.add()
	for range gathering.Cases() - 1 {
		v.add(bootstrapAt(first), lean)
	}
	for _, m := range v.nodes {
		v.meet(m, gathering.Cases()-1)
	}
	var ids []sdk.TesseraID
	for i := range 3 {
		owner := v.nodes[1+i*3]
		id := create(t, owner, folder(t, map[string]int{"a": 1000 + i})).ID
		owner.publish(id)
		ids = append(ids, id)
	}
	cases := v.allFind(ids)
	first.stop()
	cases += v.allFind(ids)
	v.restartAll()
	cases += v.allFind(ids)
	n := gathering.Cases()
	suite.Size{CI: 3 * (n + 2*(n-1)), Nightly: 3 * (n + 2*(n-1))}.Executed(t, cases, "searches")
}

// lean makes a node that keeps few copies, so that a search has to find somebody.
func lean(c *config.Config) { c.Replication.Replicas = 3 }

// allFind has every node that runs look for every tessera.
func (v *village) allFind(ids []sdk.TesseraID) int {
	v.t.Helper()
	var searching sync.WaitGroup
	var found atomic.Int32
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		searching.Go(func() {
			for _, id := range ids {
				err := m.Finds(v.t.Context(), id)
				for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); err = m.Finds(v.t.Context(), id) {
					time.Sleep(100 * time.Millisecond)
				}
				if err != nil {
					v.t.Errorf("%s does not find %s: %v", m.Contact(), id.Short(), err)
					continue
				}
				found.Add(1)
			}
		})
	}
	searching.Wait()
	return int(found.Load())
}

// restartAll stops every node that runs, and then starts them where they were, with no bootstrap address.
func (v *village) restartAll() {
	v.t.Helper()
	var again []*member
	for _, m := range v.nodes {
		if !m.stopped {
			again = append(again, m)
		}
	}
	var stopping sync.WaitGroup
	for _, m := range again {
		stopping.Go(m.stop)
	}
	stopping.Wait()
	for _, m := range again {
		at := m.Contact().Addr.String()
		v.addAt(m.dir, lean, func(c *config.Config) { c.Network.Listen, c.Network.Bootstrap = at, nil })
	}
}
