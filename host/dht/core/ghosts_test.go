package core

import (
	"slices"
	"testing"
	"time"
)

// hurried runs lookups of random targets, and tells how many found the truly nearest honest node and how
// long each took.
func (w *world) hurried(t *testing.T, n int) (good int, took []time.Duration) {
	t.Helper()
	for range n {
		begun := w.now
		found, _ := w.lookups(t, 1)
		good += found
		took = append(took, w.now.Sub(begun))
		w.run(time.Second)
	}
	slices.Sort(took)
	return good, took
}

// within checks how long lookups took, in virtual time.
func within(t *testing.T, took []time.Duration, median, worst time.Duration) {
	t.Helper()
	m, last := took[len(took)/2], took[len(took)-1]
	t.Logf("median %s, worst %s", m, last)
	if m > median || last > worst {
		t.Errorf("lookups take %s, %s at worst; want %s and %s", m, last, median, worst)
	}
}

// TestGhosts (G18): a fifth of the nodes answer with contacts next to the target behind which nobody is.
// Lookups find what there is, in seconds.
func TestGhosts(t *testing.T) {
	w := begin(t, 7)
	w.ghosts = true
	settlers := make([]settler, size().haunted)
	for i := range settlers {
		settlers[i].hostile = i%5 == 4
	}
	w.found(settlers...)
	n := size().haunted
	good, took := w.hurried(t, n)
	atLeast(t, "lookups", good, len(took), n, 990)
	within(t, took, 4*time.Second, 10*time.Second)
	ids := w.tesseras(10)
	holders := w.publish(t, ids)
	atLeast(t, "searches", w.seek(t, n, ids, holders), n, n, 990)
}

// TestAThousandGarbageContacts: so many shake hands with a node, and are gone. Its lookups are done within
// seconds all the same.
func TestAThousandGarbageContacts(t *testing.T) {
	w := begin(t, 8)
	w.found(make([]settler, size().replayed)...)
	asker := w.honest()
	for range 1000 {
		gone := w.settle(settler{})
		w.meet(asker, gone)
		gone.down = true
	}
	good, took := 0, []time.Duration{}
	for range 20 {
		target, begun := w.random(), w.now
		var f *Found
		asker.do(func(now time.Time) { asker.Lookup(now, target, func(_ time.Time, found Found) { f = &found }) })
		if !w.until(func() bool { return f != nil }) {
			t.Fatal("a lookup does not end")
		}
		took = append(took, w.now.Sub(begun))
		want := w.nearest(target, asker)
		if slices.ContainsFunc(f.Nodes, func(n Node) bool { return n.Key == want.Key }) {
			good++
		}
	}
	slices.Sort(took)
	atLeast(t, "lookups", good, 20, 20, 990)
	within(t, took, 4*time.Second, 10*time.Second)
}
