package host_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// metrics reads all metrics of a node.
func (m *member) metrics() map[string]float64 {
	m.v.t.Helper()
	all, err := m.Metrics()
	if err != nil {
		m.v.t.Fatal(err)
	}
	return all
}

// moved wants some metrics to have changed by so much while something was done.
func (m *member) moved(what string, want map[string]float64, do func()) {
	m.v.t.Helper()
	before := m.metrics()
	do()
	after := m.metrics()
	for name, by := range want {
		name = "tesseras_" + name
		if _, there := after[name]; !there {
			m.v.t.Errorf("there is no metric %s", name)
		}
		if got := after[name] - before[name]; got != by {
			m.v.t.Errorf("%s moved %s by %v, want %v", what, name, got, by)
		}
	}
}

// TestTheMetricsOfTheStoreMove has each of them moved by what it counts.
func TestTheMetricsOfTheStoreMove(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	original := folder(t, small)
	var made localapi.Created
	owner.moved("create", map[string]float64{"cas_objects_total": 3, "cas_bytes_total": 1<<20 + 1000, "tesseras": 1}, func() {
		made = create(t, owner, original)
	})
	var twice localapi.Created
	owner.moved("the same again", map[string]float64{
		"cas_objects_total": 0, "cas_bytes_total": 0, "cas_dedup_hits_total": 3, "cas_bytes_saved_total": 1<<20 + 1000,
	}, func() { twice = create(t, owner, original) })
	owner.moved("delete of the second", map[string]float64{"cas_gc_refcount_deletions_total": 0}, func() {
		if _, err := owner.Delete(t.Context(), twice.ID); err != nil {
			t.Fatal(err)
		}
	})

	h := digest.Of([]byte("orphan"))
	if err := os.MkdirAll(filepath.Dir(owner.object(h)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(owner.object(h), []byte("orphan"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep := func() { owner.sweeps(localapi.GCOptions{Grace: -1}) }
	owner.moved("a young orphan", map[string]float64{
		"cas_gc_sweep_skipped_young_total": 1, "cas_gc_sweep_orphans_cleaned_total": 0, "cas_gc_sweep_duration_seconds_count": 1,
	}, sweep)
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(owner.object(h), old, old); err != nil {
		t.Fatal(err)
	}
	owner.moved("an old orphan", map[string]float64{
		"cas_gc_sweep_skipped_young_total": 0, "cas_gc_sweep_orphans_cleaned_total": 1, "cas_gc_sweep_duration_seconds_count": 1,
	}, sweep)
	if owner.metrics()["tesseras_cas_gc_sweep_duration_seconds_sum"] <= 0 {
		t.Error("sweeping took no time")
	}

	owner.publish(made.ID)
	holder := v.holdersOf(made.ID)[0]
	holder.moved("a fragment lost from the index", map[string]float64{"fragments_held": -1, "cas_objects_total": 0}, func() { holder.loses(made.ID) })
	holder.moved("a leaked row", map[string]float64{"cas_gc_sweep_leaked_refs_cleaned_total": 1, "cas_objects_total": -1}, func() {
		holder.sweeps(localapi.GCOptions{Grace: 0})
	})

	holder = v.holdersOf(made.ID)[0]
	spoil(t, holder.object(holder.held(made.ID)[0].Hash), flip)
	holder.moved("a scrub", map[string]float64{
		"scrub_objects_total": 1, "scrub_corrupt_total": 1, "damaged_objects": 1, "heal_objects_total": 0,
	}, func() { holder.scrubs() })
	holder.moved("a repair", map[string]float64{"damaged_objects": -1, "heal_objects_total": 1}, func() { holder.repair(sdk.TesseraID{}) })
	holder.moved("another scrub", map[string]float64{"scrub_objects_total": 1, "scrub_corrupt_total": 0}, func() { holder.scrubs() })
	if owner.metrics()["tesseras_scrub_bytes_total"] != 0 || holder.metrics()["tesseras_scrub_bytes_total"] == 0 {
		t.Error("the bytes read by the scrub are not counted")
	}

	owner.moved("delete", map[string]float64{"cas_gc_refcount_deletions_total": 3, "cas_objects_total": -3, "tesseras": -1}, func() {
		if _, err := owner.Delete(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
	})
}
