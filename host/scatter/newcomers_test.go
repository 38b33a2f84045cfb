package scatter_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// job is what run does, to be changed.
func job(missingFragments int, peers []scatter.Candidate, send func(identity.Contact) error) scatter.Job {
	return scatter.Job{
		Tessera: sdk.TesseraID{1}, Tier: sdk.FragmentationTier_MEDIUM, Data: 16, Parity: 8, ShardSize: 1000,
		Intent: sdk.Intent_REPAIR, Caps: &sdk.Caps{Replicas: 7}, Missing: missing(missingFragments), Candidates: peers,
		Send: func(_ context.Context, to identity.Contact, _ int, _ func(int)) error { return send(to) },
	}
}

func TestOnlySoManyTakePartAndTheNextStandIn(t *testing.T) {
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	var mu sync.Mutex
	took := map[identity.Contact]int{}
	peers := candidates(6)
	bad := peers[1].Peer
	j := job(6, peers, func(to identity.Contact) error {
		mu.Lock()
		defer mu.Unlock()
		if to == bad {
			return errors.New("full")
		}
		took[to]++
		return nil
	})
	j.AtMost = 2
	r, err := scatter.Run(t.Context(), engine, 1, j)
	if err != nil || len(r.Left) != 0 || len(r.Placed) != 6 {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(took) > 2 || took[peers[0].Peer] == 0 {
		t.Errorf("%d peers took part: %v", len(took), took)
	}
}

func TestPreparationComesOnceAndOnlyIfSomebodyIsThere(t *testing.T) {
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	prepared := 0
	fine := func(identity.Contact) error { return nil }
	j := job(6, nil, fine)
	j.Prepare = func(context.Context) error { prepared++; return nil }
	if _, err := scatter.Run(t.Context(), engine, 1, j); err != nil || prepared != 0 {
		t.Errorf("with nobody there: %v, prepared %d times", err, prepared)
	}
	calls := 0
	j.Candidates, j.Send = candidates(6), func(context.Context, identity.Contact, int, func(int)) error {
		if calls++; calls < 8 {
			return errors.New("full") // so that the policy is asked again
		}
		return nil
	}
	if _, err := scatter.Run(t.Context(), engine, 1, j); err != nil || prepared != 1 {
		t.Errorf("%v, prepared %d times", err, prepared)
	}
	broken := errors.New("disk")
	j.Prepare = func(context.Context) error { return broken }
	j.Send = func(context.Context, identity.Contact, int, func(int)) error {
		t.Error("pushed what was not prepared")
		return nil
	}
	if r, err := scatter.Run(t.Context(), engine, 1, j); !errors.Is(err, broken) || len(r.Left) != 6 {
		t.Errorf("%+v, %v", r, err)
	}
}
