package scatter_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// dealer deals the pieces round the candidates that do not hold them yet, and keeps its requests.
type dealer struct{ asked []*sdk.PlaceRequest }

func (d *dealer) Place(_ context.Context, q *sdk.PlaceRequest) (*sdk.PlaceResponse, error) {
	d.asked = append(d.asked, q)
	answer := &sdk.PlaceResponse{Status: sdk.Status_OK, Reason: "dealt"}
	next := 0
	for _, p := range q.Pieces {
		for range min(int(p.Copies), len(q.Candidates)) {
			answer.Assignments = append(answer.Assignments, &sdk.Assignment{Fragment: p.Index, Candidate: uint32(next % len(q.Candidates))})
			next++
		}
	}
	return answer, nil
}

func candidates(n byte) (list []scatter.Candidate) {
	for i := n; i > 0; i-- { // not in order of their ids
		c := identity.Contact{Key: sdk.NodeKey{i}}
		id := c.ID()
		list = append(list, scatter.Candidate{Peer: c, View: &sdk.Candidate{Id: id[:]}})
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
	result, err := scatter.Run(t.Context(), &dealer{}, 3, scatter.Job{
		Missing: missing(24), Candidates: candidates(8),
		Send: func(_ context.Context, to identity.Contact, index int) error {
			most.Store(max(most.Load(), active.Add(1)))
			defer active.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			sent[index] = to
			return nil
		},
	})
	if err != nil || len(result.Placed) != 24 || len(result.Left) != 0 || len(sent) != 24 {
		t.Fatalf("%+v, %v", result, err)
	}
	if most.Load() > 3 {
		t.Errorf("%d pushes at a time, want at most 3", most.Load())
	}
}

func TestWhatIsRefusedGoesToAnother(t *testing.T) {
	full := errors.New("full")
	bad := identity.Contact{Key: sdk.NodeKey{2}}
	var refused atomic.Int32
	d := &dealer{}
	result, err := scatter.Run(t.Context(), d, 1, scatter.Job{
		Missing: missing(9), Candidates: candidates(3),
		Send: func(_ context.Context, to identity.Contact, _ int) error {
			if to == bad {
				refused.Add(1)
				return full
			}
			return nil
		},
	})
	if err != nil || len(result.Placed) != 9 || len(result.Left) != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	if refused.Load() != 1 || len(result.Failures) != 1 || !errors.Is(result.Failures[0], full) {
		t.Errorf("asked the full peer %d times, failures %v", refused.Load(), result.Failures)
	}
	second := d.asked[1]
	if len(second.Candidates) != 2 || len(second.Holdings) != 2 {
		t.Errorf("the second question names %d candidates and %d holders, want 2 and 2", len(second.Candidates), len(second.Holdings))
	}
}

func TestWhatNobodyTakesIsReported(t *testing.T) {
	result, err := scatter.Run(t.Context(), &dealer{}, 4, scatter.Job{
		Missing: missing(5), Candidates: candidates(3),
		Send: func(context.Context, identity.Contact, int) error { return errors.New("no") },
	})
	if err != nil || len(result.Placed) != 0 || len(result.Left) != 5 || len(result.Failures) != 3 || result.Reason == "" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestCopiesAreCountedDown(t *testing.T) {
	result, err := scatter.Run(t.Context(), &dealer{}, 4, scatter.Job{
		Missing: []health.Missing{{Index: 0, Copies: 7}}, Candidates: candidates(5),
		Send: func(context.Context, identity.Contact, int) error { return nil },
	})
	if err != nil || len(result.Placed) != 5 || len(result.Left) != 1 || result.Left[0].Copies != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestACancelledJobStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int32
	_, err := scatter.Run(ctx, &dealer{}, 1, scatter.Job{
		Missing: missing(100), Candidates: candidates(4),
		Send: func(ctx context.Context, _ identity.Contact, _ int) error {
			if sent.Add(1) == 3 {
				cancel()
			}
			return ctx.Err()
		},
	})
	if !errors.Is(err, context.Canceled) || sent.Load() > 4 {
		t.Errorf("%v after %d pushes", err, sent.Load())
	}
}
