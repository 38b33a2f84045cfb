package host_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/config"
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
			owner := v.addAt(dir, func(c *config.Config) { c.Replication.RepairInterval = config.Duration(20 * time.Millisecond) })
			v.meet(owner, 3)
			made := create(t, owner, folder(t, medium))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var asking sync.WaitGroup
			asking.Go(func() {
				_, _ = owner.Publish(ctx, made.ID, localapi.PublishOptions{Wait: true}, noProgress) // goes on without us
			})
			asking.Go(func() { _, _ = v.nodes[0].Fetch(ctx, made.ID, noProgress) })
			v.eventually("work to be under way", func() bool { return v.placed(made.ID) > i*4 })
			cancel()
			asking.Wait() // as the local API does before a node is closed
			owner.stop()
			v.nodes[0].stop()
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
