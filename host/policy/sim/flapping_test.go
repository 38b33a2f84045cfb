package sim_test

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/policy/sim"
)

// flappingWorlds are worlds of 200 peers and 50 tesseras, looked at for a month.
var flappingWorlds = suite.FlapWorlds

const (
	month   = 30 * 24 * time.Hour
	settled = 14 * 24 * time.Hour // after which a node knows who comes back
	later   = 3 * 24 * time.Hour  // by so much more patient it is with those: their deaths are the same, and repaired later
)

// flapping adds up the repair traffic of worlds in which a share of the peers, drawn afresh each day, are
// away for eight hours and come back with their disks: a third of them are away at the hour of any look.
func flapping(t *testing.T, afr, share float64, length time.Duration) (bytes int64) {
	t.Helper()
	parallel(t, flappingWorlds.Cases(), func(seed uint64) sim.Config {
		return sim.Config{
			Seed: seed, Peers: 200, Tesseras: 50, Duration: length, AFR: afr, Offline: -1, Flapping: share, Away: 8 * time.Hour,
		}
	}, func(seed uint64, r sim.Result) {
		bytes += r.RepairBytes
		if r.Lost > 0 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	})
	return bytes
}

// TestFlappingCostsLittle: a month of 30 % daily flapping adds less than 5 % to the repair traffic of a network
// of which a fifth leaves for good within a year, once it is known who comes back. In the very first month,
// when everybody who is silent may as well be dead, it moves less than 5 % of what is stored where nobody
// leaves, and where there is no other traffic to compare with.
func TestFlappingCostsLittle(t *testing.T) {
	stored := int64(flappingWorlds.Cases()) * 50 * 24 << 20
	still := flapping(t, 0.2, 0, settled+month) - flapping(t, 0.2, 0, settled)
	steady := flapping(t, 0.2, 0.3, settled+month+later) - flapping(t, 0.2, 0.3, settled+later)
	first := flapping(t, -1, 0.3, month)
	percent := func(a, of int64) float64 { return 100 * float64(a) / float64(of) }
	extra, learning := percent(steady-still, still), percent(first, stored)
	t.Logf("repair traffic in %d months: %d MiB without flapping, %d MiB with it: %+.2f %%", flappingWorlds.Cases(), still>>20, steady>>20, extra)
	t.Logf("in the first month, where nobody leaves for good: %d MiB, %.2f %% of what is stored", first>>20, learning)
	if still == 0 {
		t.Error("nothing is repaired without flapping: there is nothing to compare with")
	}
	if extra >= 5 {
		t.Errorf("flapping adds %.2f %% to the repair traffic", extra)
	}
	if learning >= 5 {
		t.Errorf("flapping costs %.2f %% of what is stored in the first month", learning)
	}
	flappingWorlds.Executed(t, flappingWorlds.Cases(), "months of flapping")
}
