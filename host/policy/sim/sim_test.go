package sim_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/host/policy/sim"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) {
	suite.CollectLess()
	os.Exit(m.Run())
}

func simulate(t *testing.T, chain policy.Config, c sim.Config) (sim.Result, error) {
	t.Helper()
	clock := sim.NewClock()
	e := sim.NewEngine(clock, chain)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim.Run(t.Context(), e, clock, c, nil)
}

func small(seed uint64) sim.Config {
	return sim.Config{Seed: seed, Peers: 60, Tesseras: 5, Duration: sim.Year / 2, AFR: 0.5, Offline: 0.2}
}

// TestSameSeedSameRun: a seed gives one run, another seed another.
func TestSameSeedSameRun(t *testing.T) {
	var runs []sim.Result
	for _, seed := range []uint64{7, 7, 8} {
		r, err := simulate(t, policy.Config{}, small(seed))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	if runs[0] != runs[1] || runs[0] == runs[2] {
		t.Errorf("%+v", runs)
	}
	if r := runs[0]; r.Rebuilt == 0 || r.RepairBytes == 0 || r.PeersGone == 0 || r.MeanMargin < 4 || r.Imbalance <= 1 || r.Questions < 100 || r.Surplus == 0 {
		t.Errorf("%+v", r)
	}
}

// clump is a decider that puts as many fragments as it may on as few peers as possible.
type clump struct{}

func (clump) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	d := sdk.NewDraft(q)
	for _, p := range q.Pieces {
		for i := range q.Candidates {
			if d.Load(i) < 6 && d.Left(p) > 0 {
				d.Give(p, i, "there is room")
			}
		}
	}
	return d.Response("as few as possible")
}

// TestPoliciesMatter: a placement that clumps leaves thinner margins.
func TestPoliciesMatter(t *testing.T) {
	spread, err := simulate(t, policy.Config{}, small(1))
	if err != nil {
		t.Fatal(err)
	}
	bad := native.New("clump", plugins.Set{Placement: clump{}})
	clumped, err := simulate(t, policy.Config{Placement: policy.Chain{Deciders: []policy.Policy{bad}}}, small(1))
	if err != nil {
		t.Fatal(err)
	}
	if clumped.MeanMargin >= spread.MeanMargin/1.5 || clumped.PeersPerTessera >= spread.PeersPerTessera/1.5 {
		t.Errorf("clumped %+v, spread %+v", clumped, spread)
	}
}

// TestQuietNetwork: where nobody leaves or is away nothing is repaired.
func TestQuietNetwork(t *testing.T) {
	c := small(1)
	c.AFR, c.Offline = -1, -1
	r, err := simulate(t, policy.Config{}, c)
	if err != nil || r.PeersGone != 0 || r.Rebuilt != 0 || r.Lost != 0 || r.Unavailable != 0 || r.Surplus != 0 || r.ThinnestMargin != 8 {
		t.Errorf("%+v, %v", r, err)
	}
}

// hesitant never places anything.
type hesitant struct{}

func (hesitant) Place(*sdk.PlaceRequest) *sdk.PlaceResponse {
	return &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "not today"}
}

func TestNothingEverPlaced(t *testing.T) {
	p := native.New("hesitant", plugins.Set{Placement: hesitant{}})
	if r, err := simulate(t, policy.Config{Placement: policy.Chain{Deciders: []policy.Policy{p}}}, small(1)); !errors.Is(err, sim.ErrConfig) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestImpossibleWorlds(t *testing.T) {
	for name, c := range map[string]sim.Config{
		"no peers":      {Peers: -1},
		"tesseras":      {Tesseras: sdk.MaxTesseras + 1},
		"fragments":     {Data: 200, Parity: 100},
		"nothing to do": {Data: -1, Parity: 3},
		"shard":         {Shard: -1},
		"all leave":     {AFR: 1},
		"all away":      {Offline: 1.5},
		"no time":       {Duration: time.Hour},
		"hasty":         {Interval: time.Second},
		"known":         {Known: sdk.MaxCandidates + 1},
		"subnet":        {PerNet: -1},
	} {
		if _, err := simulate(t, policy.Config{}, c); !errors.Is(err, sim.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStops at once when it is told to, and says how far it has come.
func TestStops(t *testing.T) {
	clock := sim.NewClock()
	e := sim.NewEngine(clock, policy.Config{})
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	_, err := sim.Run(ctx, e, clock, small(1), func(share float64) {
		if told++; told == 3 {
			cancel()
		}
		if share < 0 || share > 1 {
			t.Errorf("%v of it is done", share)
		}
	})
	if !errors.Is(err, context.Canceled) || told < 3 || told > 4 {
		t.Errorf("%v after %d looks", err, told)
	}
}
