package cycle_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/cycle"
)

// TestADoorbellIsHeardButNotAllNight: a crowd is heard at once, the last of it too; one that rings every
// second for an hour is heard once a minute; and then a crowd is heard again.
func TestADoorbellIsHeardButNotAllNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Int32
		d := cycle.NewDoorbell()
		go d.Run(t.Context(), func() { heard.Add(1) })
		rings := func(times int, apart time.Duration) int {
			before := heard.Load()
			for range times {
				d.Ring()
				synctest.Wait()
				time.Sleep(apart)
			}
			return int(heard.Load() - before)
		}
		if n := rings(24, time.Millisecond); n != 24 {
			t.Errorf("of a crowd of 24, %d were heard", n)
		}
		if n := rings(3600, time.Second); n < 60 || n > 75 {
			t.Errorf("who rang for an hour was heard %d times", n)
		}
		d.Ring()
		before := heard.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if heard.Load() != before+1 {
			t.Errorf("the last ring was heard %d times", heard.Load()-before)
		}
		time.Sleep(time.Hour)
		if n := rings(24, time.Millisecond); n != 24 {
			t.Errorf("of the next crowd of 24, %d were heard", n)
		}
	})
}
