package host_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestNothingIsLeftAfterClose is not parallel: it counts what this process has.
func TestNothingIsLeftAfterClose(t *testing.T) {
	base := goleak.IgnoreCurrent()
	dir := t.TempDir() // of the same owner each time
	const loops = 5
	for i := range loops {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			v := &village{t: t}
			for range 3 {
				v.add()
			}
			owner := v.addAt(dir)
			v.meet(owner, 3)
			made := create(t, owner, folder(t, medium))
			var all sync.WaitGroup
			all.Go(func() {
				_, _ = owner.Publish(context.Background(), made.ID, localapi.PublishOptions{Wait: true}, noProgress) // ends with its node
			})
			all.Go(func() { _, _ = v.nodes[0].Fetch(context.Background(), made.ID, noProgress) })
			all.Go(func() { _ = owner.Round(t.Context()) })
			v.eventually("work to be under way", func() bool { return v.placed(made.ID) > i*4 })
			owner.stop()
			v.nodes[0].stop()
			all.Wait()
		})
		if err := goleak.Find(base); err != nil {
			t.Fatalf("after round %d: %v", i, err)
		}
	}
	v := &village{t: t}
	owner := v.addAt(dir)
	all, err := owner.List(t.Context())
	if err != nil || len(all) != loops {
		t.Errorf("%d tesseras after %d rounds: %v", len(all), loops, err)
	}
}
