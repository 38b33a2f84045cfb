package scatter_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// run does a job of a 16+8 tessera with the real engine and the default policy.
func run(ctx context.Context, t *testing.T, concurrent int, missing []health.Missing, peers []scatter.Candidate, send func(context.Context, identity.Contact, int) error) (scatter.Result, error) {
	t.Helper()
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	return scatter.Run(ctx, engine, concurrent, scatter.Job{
		Tessera: sdk.TesseraID{1}, Tier: sdk.FragmentationTier_MEDIUM, Data: 16, Parity: 8, ShardSize: 1000,
		Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 7},
		Missing: missing, Candidates: peers,
		Send: func(ctx context.Context, to identity.Contact, index int, _ func(int)) error {
			return send(ctx, to, index)
		},
	})
}

func candidates(n byte) (list []scatter.Candidate) {
	for i := n; i > 0; i-- { // not in the order of their ids
		c := identity.Contact{Key: sdk.NodeKey{i}}
		id := c.ID()
		list = append(list, scatter.Candidate{Peer: c, View: &sdk.Candidate{Id: id[:], Subnet: []byte{10, 0, i}}})
	}
	return list
}

func missing(n int) (list []health.Missing) {
	for i := range n {
		list = append(list, health.Missing{Index: i, Copies: 1})
	}
	return list
}

func TestEveryFragmentFindsAHolder(t *testing.T) {
	var mu sync.Mutex
	sent := map[int]identity.Contact{}
	var active, most atomic.Int32
	result, err := run(t.Context(), t, 3, missing(24), candidates(8), func(_ context.Context, to identity.Contact, index int) error {
		most.Store(max(most.Load(), active.Add(1)))
		defer active.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		sent[index] = to
		return nil
	})
	if err != nil || len(result.Placed) != 24 || len(result.Left) != 0 || len(sent) != 24 {
		t.Fatalf("%+v, %v", result, err)
	}
	if most.Load() > 3 {
		t.Errorf("%d pushes at a time, want at most 3", most.Load())
	}
	load := map[identity.Contact]int{}
	for _, to := range sent {
		load[to]++
	}
	for to, n := range load {
		if n != 3 {
			t.Errorf("%s got %d fragments of 24 over 8 peers", to, n)
		}
	}
}

func TestWhatIsRefusedGoesToAnother(t *testing.T) {
	full := errors.New("full")
	bad := identity.Contact{Key: sdk.NodeKey{2}}
	var refused atomic.Int32
	result, err := run(t.Context(), t, 1, missing(24), candidates(12), func(_ context.Context, to identity.Contact, _ int) error {
		if to == bad {
			refused.Add(1)
			return full
		}
		return nil
	})
	if err != nil || len(result.Placed) != 24 || len(result.Left) != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	if refused.Load() != 1 || len(result.Failures) != 1 || !errors.Is(result.Failures[0], full) {
		t.Errorf("asked the full peer %d times, failures %v", refused.Load(), result.Failures)
	}
	for _, p := range result.Placed {
		if p.Peer == bad {
			t.Error("a fragment is said to be at the peer that refused it")
		}
	}
}

func TestWhenHalfThePeersFailTheOthersTakeAll(t *testing.T) {
	result, err := run(t.Context(), t, 1, missing(24), candidates(20), func(_ context.Context, to identity.Contact, _ int) error {
		if to.Key[0]%2 == 0 {
			return errors.New("no")
		}
		return nil
	})
	if err != nil || len(result.Placed) != 24 || len(result.Left) != 0 || len(result.Failures) > 10 {
		t.Errorf("placed %d, left %d, %d failures of ten peers that refuse, %v", len(result.Placed), len(result.Left), len(result.Failures), err)
	}
}

func TestWhatNobodyTakesIsReported(t *testing.T) {
	// One at a time: two under way to the same peer would both fail.
	result, err := run(t.Context(), t, 1, missing(5), candidates(3), func(context.Context, identity.Contact, int) error {
		return errors.New("no")
	})
	if err != nil || len(result.Placed) != 0 || len(result.Left) != 5 || len(result.Failures) != 3 || result.Reason == "" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestNoPeersAtAll(t *testing.T) {
	result, err := run(t.Context(), t, 4, missing(5), nil, nil)
	if err != nil || len(result.Left) != 5 || result.Reason == "" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestCopiesAreCountedDown(t *testing.T) {
	result, err := run(t.Context(), t, 4, []health.Missing{{Index: 0, Copies: 7}}, candidates(5), func(context.Context, identity.Contact, int) error {
		return nil
	})
	if err != nil || len(result.Placed) != 5 || len(result.Left) != 1 || result.Left[0].Copies != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestAFragmentIsDoneWithItsLastCopy: not before, since it is sent again, and never where a copy is left.
func TestAFragmentIsDoneWithItsLastCopy(t *testing.T) {
	var mu sync.Mutex
	sent, done := map[int]int{}, map[int]int{}
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	_, err := scatter.Run(t.Context(), engine, 4, scatter.Job{
		Tessera: sdk.TesseraID{1}, Tier: sdk.FragmentationTier_MEDIUM, Data: 16, Parity: 8, ShardSize: 1000,
		Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 7}, Candidates: candidates(5),
		Missing: []health.Missing{{Index: 0, Copies: 3}, {Index: 1, Copies: 1}, {Index: 2, Copies: 7}},
		Send: func(_ context.Context, _ identity.Contact, index int, _ func(int)) error {
			mu.Lock()
			defer mu.Unlock()
			if done[index] > 0 {
				t.Errorf("fragment %d is sent after it was done", index)
			}
			sent[index]++
			return nil
		},
		Done: func(index int) {
			mu.Lock()
			defer mu.Unlock()
			if done[index] = sent[index]; index == 2 {
				t.Error("fragment 2 is done, and two copies of it are left")
			}
		},
	})
	if err != nil || done[0] != 3 || done[1] != 1 {
		t.Errorf("done after so many copies: %v, %v", done, err)
	}
}

func TestACancelledJobStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int32
	_, err := run(ctx, t, 1, missing(24), candidates(4), func(ctx context.Context, _ identity.Contact, _ int) error {
		if sent.Add(1) == 3 {
			cancel()
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || sent.Load() > 4 {
		t.Errorf("%v after %d pushes", err, sent.Load())
	}
}
