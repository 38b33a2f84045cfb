package custody

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestOfTwoPromisesOneKnowsTheOther: of those who promise at once every two are counted against each
// other once, so that no sum is granted twice.
func TestOfTwoPromisesOneKnowsTheOther(t *testing.T) {
	const pushes = 64
	d := desk{promises: map[*promise]struct{}{}}
	var told atomic.Int64
	var all sync.WaitGroup
	for range pushes {
		all.Go(func() { told.Add(int64(len(d.promise(&promise{size: 1})))) })
	}
	all.Wait()
	if want := int64(pushes * (pushes - 1) / 2); told.Load() != want {
		t.Errorf("told of %d others, want %d", told.Load(), want)
	}
	for p := range d.promises {
		d.charged(p, true)
		d.release(p)
	}
	if len(d.promises) > 0 {
		t.Errorf("%d promises are left", len(d.promises))
	}
}
