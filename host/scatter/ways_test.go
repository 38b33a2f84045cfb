package scatter_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// TestTheLineIsBusyWhileHoldersMakeDurable pushes to peers that take a second for the bytes and some time more
// before they acknowledge: the next fragments go meanwhile, but never more than four, and never more than
// three wait beside them.
func TestTheLineIsBusyWhileHoldersMakeDurable(t *testing.T) {
	for _, c := range []struct {
		durable, want time.Duration
	}{
		{time.Second, 8 * time.Second},      // seven every two seconds, and the last three
		{3 * time.Second, 16 * time.Second}, // seven every four seconds, and the last three
	} {
		synctest.Test(t, func(t *testing.T) {
			sending, waiting := newStreet(), newStreet()
			engine := policy.New(policy.Deps{}, policy.Config{})
			t.Cleanup(func() { _ = engine.Close() })
			begun := time.Now()
			result, err := scatter.Run(t.Context(), engine, 4, scatter.Job{
				Tessera: sdk.TesseraID{1}, Tier: sdk.FragmentationTier_MEDIUM, Data: 16, Parity: 8, ShardSize: shard,
				Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 7}, Missing: missing(24), Candidates: candidates(24),
				Send: func(_ context.Context, _ identity.Contact, index int, moved func(int)) error {
					waiting.count(index, 1)
					defer waiting.count(index, -1)
					sending.count(index, 1)
					time.Sleep(time.Second)
					sending.count(index, -1)
					moved(shard)
					time.Sleep(c.durable)
					return nil
				},
			})
			if err != nil || len(result.Placed) != 24 {
				t.Fatalf("%+v, %v", result, err)
			}
			if took := time.Since(begun); took < c.want || took > c.want+time.Second/2 {
				t.Errorf("it took %s, want %s", took, c.want)
			}
			if sending.most != 4 || waiting.most != 7 {
				t.Errorf("%d on their way at a time, want 4, and %d in all, want 7", sending.most, waiting.most)
			}
		})
	}
}
