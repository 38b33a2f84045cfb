package sim_test

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/policy/sim"
)

// flappingWorlds are worlds of 200 peers and 50 tesseras, looked at for a month.
var flappingWorlds = suite.FlapWorlds

// TestFlappingCostsLittle: a month of 30 % daily flapping adds less than 5 % to the repair traffic of a network
// of which a fifth leaves for good within a year: the very first one, and one once it is known who comes back.
func TestFlappingCostsLittle(t *testing.T) {
	t.Run("first month", func(t *testing.T) { flappingCostsLittle(t, 0) })
	t.Run("later month", func(t *testing.T) { flappingCostsLittle(t, sim.Settled) })
}

func flappingCostsLittle(t *testing.T, after time.Duration) {
	type pair struct{ still, flapping int64 }
	months := make([]pair, flappingWorlds.Cases())
	var g errgroup.Group
	g.SetLimit(2)
	for i := range months {
		g.Go(func() (err error) {
			months[i].still, months[i].flapping, err = sim.FlappingMonth(t.Context(), uint64(i)+1, after)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var sum pair
	for _, m := range months {
		sum.still, sum.flapping = sum.still+m.still, sum.flapping+m.flapping
	}
	extra := percent(sum.flapping-sum.still, sum.still)
	t.Logf("repair traffic in %d months: %d MiB without flapping, %d MiB with it: %+.2f %%", len(months), sum.still>>20, sum.flapping>>20, extra)
	if sum.still == 0 {
		t.Error("nothing is repaired without flapping: there is nothing to compare with")
	}
	if extra >= 5 {
		t.Errorf("flapping adds %.2f %% to the repair traffic", extra)
	}
	flappingWorlds.Executed(t, len(months), "months of flapping")
}

// TestTheFirstMonthOfFlapping: in the very first month, when everybody who is silent may as well be dead, 30 % daily
// flapping moves less than 5 % of what is stored where nobody leaves, and where there is no other traffic to
// compare with.
func TestTheFirstMonthOfFlapping(t *testing.T) {
	var moved int64
	parallel(t, flappingWorlds.Cases(), func(seed uint64) sim.Config {
		return sim.FlappingWorld(seed, -1, 0.3, 30*24*time.Hour)
	}, func(seed uint64, r sim.Result) {
		moved += r.RepairBytes
		if r.Lost > 0 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	})
	learning := percent(moved, int64(flappingWorlds.Cases())*50*24<<20)
	t.Logf("%d MiB, %.2f %% of what is stored", moved>>20, learning)
	if learning >= 5 {
		t.Errorf("flapping costs %.2f %% of what is stored in the first month", learning)
	}
}

func percent(a, of int64) float64 { return 100 * float64(a) / float64(of) }
