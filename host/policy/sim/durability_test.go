package sim_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/sim"
	"github.com/tesseras/tesseras/sdk"
)

// Sizes of the suite of durability under churn, G16.
var (
	// nodeYears of the network that loses nothing, 200 peers a world.
	nodeYears = suite.ChurnYears
	// controlYears are worlds of seven peers, a year each, of the control run that loses data.
	controlYears = suite.ControlYears
)

const week = 7 * 24 * time.Hour

// parallel simulates n worlds, by their seeds, on two threads, each with an engine of its own.
func parallel(t *testing.T, n int, config func(seed uint64) sim.Config, take func(seed uint64, r sim.Result)) {
	t.Helper()
	var mu sync.Mutex
	var threads sync.WaitGroup
	for thread := range 2 {
		threads.Go(func() {
			clock := sim.NewClock()
			e := sim.NewEngine(clock, policy.Config{})
			defer e.Close()
			for i := thread; i < n; i += 2 {
				seed := uint64(i) + 1
				r, err := sim.Run(t.Context(), e, clock, config(seed), nil)
				mu.Lock()
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
				} else {
					take(seed, r)
				}
				mu.Unlock()
			}
		})
	}
	threads.Wait()
}

// TestControlLoses is the run that calibrates the simulation: 16+8 fragments on seven peers, of which 90 %
// leave within a year, looked at once a week, have to be lost at the rate that arithmetic gives: any three
// of the seven within a week are too many.
func TestControlLoses(t *testing.T) {
	const want = 0.123 // a year
	n, lost, years := controlYears.Cases(), 0, 0
	parallel(t, n, func(seed uint64) sim.Config {
		return sim.Config{
			Seed: seed, Peers: 7, PerNet: 1, Tesseras: 1, Duration: sim.Year, Interval: week, AFR: 0.9, Offline: -1, Horizon: true,
		}
	}, func(_ uint64, r sim.Result) {
		lost += r.Lost
		years++
	})
	rate := float64(lost) / float64(years)
	sigma := math.Sqrt(want * (1 - want) / float64(years))
	t.Logf("%d of %d lost within a year: %.2f %%, expected %.1f %%, 3 sigma are %.2f %%", lost, years, 100*rate, 100*want, 300*sigma)
	if math.Abs(rate-want) > 3*sigma {
		t.Errorf("the control run loses %.2f %% a year, not %.1f +- %.2f: the simulation is off", 100*rate, 100*want, 300*sigma)
	}
	controlYears.Executed(t, years, "tessera-years of the control run")
}

// TestNothingIsLost: on 24 peers and more a tessera outlives half of all peers leaving within a year while
// three in ten are away at any time.
func TestNothingIsLost(t *testing.T) {
	const peers = 200
	simulated, tesseraYears := 0.0, 0.0
	parallel(t, nodeYears.Cases()/peers, func(seed uint64) sim.Config {
		return sim.Config{Seed: seed, Peers: peers, Tesseras: 20, Duration: sim.Year, AFR: 0.5, Offline: 0.3}
	}, func(seed uint64, r sim.Result) {
		simulated += r.NodeYears
		tesseraYears += r.TesseraYears
		if r.Lost > 0 || r.PeersPerTessera < 24 || r.PeersGone < peers/4 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	})
	t.Logf("nothing lost in %.0f tessera-years", tesseraYears)
	nodeYears.Executed(t, int(math.Round(simulated)), "node-years")
}

func ExampleRun() {
	clock := sim.NewClock()
	e := sim.NewEngine(clock, policy.Config{})
	defer e.Close()
	r, err := sim.Run(context.Background(), e, clock, sim.Config{Peers: 30, Tesseras: 3, Duration: sim.Year}, nil)
	fmt.Println(r.Lost, err)
	// Output: 0 <nil>
}

// never is a repair policy that puts everything off.
type never struct{}

func (*never) Name() string    { return "never" }
func (*never) Runtime() string { return "native" }
func (*never) Ask(context.Context, sdk.Role, []byte) ([]byte, error) {
	return (&sdk.RepairResponse{Status: sdk.Status_DEFER, Reason: "not now"}).MarshalVT()
}

// TestNoPolicyLosesATessera: what the host has repaired whatever a policy says keeps every tessera, though half of all
// peers leave within a year, three in ten are away for a part of each day, and the policy has never anything
// repaired. That a tessera cannot be had for a while is the operator's choice.
func TestNoPolicyLosesATessera(t *testing.T) {
	clock := sim.NewClock()
	e := sim.NewEngine(clock, policy.Config{Repair: policy.Chain{Deciders: []policy.Policy{&never{}}}})
	defer e.Close()
	for seed := range uint64(2) {
		r, err := sim.Run(t.Context(), e, clock, sim.FlappingWorld(seed+1, 0.5, 0.3, sim.Year), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d lost, %.1f %% of the looks not to be had just then, %.1f times rebuilt", seed+1, r.Lost, 100*r.Unavailable, r.RepairPerYear)
		if r.Lost > 0 || r.Rebuilt == 0 {
			t.Errorf("seed %d: %+v", seed+1, r)
		}
	}
}
