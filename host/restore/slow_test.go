package restore_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestThoseThatAreDeafDoNotHoldUpThePlan: as many as may be said to hold a tessera, all asked before one
// that does.
func TestThoseThatAreDeafDoNotHoldUpThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDesk(t, 0), newTale(t, 1)
		for range 64 {
			d.add(s).deaf = true
		}
		d.add(s, 0, 1, 2, 3)
		begun := time.Now()
		d.restores(t, s)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestManyThatAreDeafDoNotTakeAllConnections: those that are said to hold a tessera, and never answer, are asked
// a few at a time, so that there are connections for those that do.
func TestManyThatAreDeafDoNotTakeAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDesk(t, 0), newTale(t, 1)
		d.papers[s.plan.Tessera] = s.plan.Bytes()
		for range 500 {
			d.add(s).deaf = true
		}
		d.add(s, 0, 1, 2, 3)
		d.restores(t, s)
		if d.most > 200 {
			t.Errorf("%d are asked at once", d.most)
		}
	})
}

// TestThoseThatTrickleDoNotHoldUpAFetch: they claim to hold everything, and are the first to say so.
func TestThoseThatTrickleDoNotHoldUpAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDesk(t, 0), newTale(t, 1)
		for range 4 {
			d.add(s, 0, 1, 2, 3, 4, 5).pace = 4 // bytes a second: an hour
		}
		for i := range 4 {
			d.add(s, i).thinks = time.Second
		}
		begun := time.Now()
		c := d.restores(t, s)
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("took %s", took)
		}
		if len(c.Served) != 4 {
			t.Errorf("served %+v", c.Served)
		}
	})
}
