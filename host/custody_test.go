package host_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/sdk"
)

// holding lists how many of n fragments are at running nodes, and how many each of these has.
func (v *village) holding(id sdk.TesseraID) (distinct int, copies int, each map[*member]int) {
	v.t.Helper()
	seen, each := map[int]bool{}, map[*member]int{}
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		for _, f := range m.held(id) {
			seen[f.Index] = true
			copies++
			each[m]++
		}
	}
	return len(seen), copies, each
}

// mostCopies is at how many running nodes the most frequent fragment of a tessera is.
func (v *village) mostCopies(id sdk.TesseraID) (most int) {
	v.t.Helper()
	copies := map[int]int{}
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		for _, f := range m.held(id) {
			copies[f.Index]++
			most = max(most, copies[f.Index])
		}
	}
	return most
}

// TestHoldersRepairWithoutTheOwner kills the owner and then two waves of holders, in all more than the
// code alone survives. Nobody says a word to those who are left.
func TestHoldersRepairWithoutTheOwner(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	for range 10 {
		v.add(quick)
	}
	owner := v.add(quick)
	v.meet(owner, 10)
	original := folder(t, medium)
	made := create(t, owner, original)
	owner.publish(made.ID)
	owner.stop()
	for wave, dead := range []int{3, 2} {
		for _, m := range v.nodes[:10] {
			if dead > 0 && !m.stopped {
				m.stop()
				dead--
			}
		}
		v.eventually("the holders to repair", func() bool { distinct, _, _ := v.holding(made.ID); return distinct == 24 })
		_, copies, each := v.holding(made.ID)
		t.Logf("wave %d: %d copies of 24 shards on %d holders: %v", wave, copies, len(each), slices.Sorted(maps.Values(each)))
		if most := v.mostCopies(made.ID); most > 2 {
			t.Errorf("wave %d: a shard is there %d times", wave, most)
		}
		many := slices.Sorted(maps.Values(each))
		if copies == 24 && many[len(many)-1]-many[0] > 1 {
			t.Errorf("wave %d: shards per holder from %d to %d", wave, many[0], many[len(many)-1])
		}
	}
	heir := v.add()
	fetch(t, heir, made.ID, original)
	for _, m := range v.holdersOf(made.ID) {
		row, kept := m.account(owner.owner()), m.held(made.ID)
		if row.StoredForThem != uint64(len(kept))*uint64(kept[0].Size) {
			t.Errorf("a holder of %d fragments has %d bytes in the owner's account", len(kept), row.StoredForThem)
		}
	}
}

// quick has short intervals, and few proofs for that.
func quick(c *config.Config) {
	c.Replication.RepairInterval = config.Duration(500 * time.Millisecond)
	c.Replication.ProofsPerHolder = 2
}
