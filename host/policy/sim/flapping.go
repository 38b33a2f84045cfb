package sim

import (
	"context"
	"errors"
	"time"

	"github.com/tesseras/tesseras/host/policy"
)

// The months that are compared to tell what flapping costs.
const (
	month   = 30 * day
	settled = 14 * day // after which a node knows who comes back
	// later is by how much more patient it is with those: their deaths are the same, and repaired later.
	later = 3 * day
)

// FlappingWorld is a small world in which a share of the peers leaves within a year (negative is none), and another
// share, drawn afresh each day, is away for eight hours and comes back with its disk: a third of these are away
// at the hour of any look.
func FlappingWorld(seed uint64, afr, share float64, length time.Duration) Config {
	return Config{
		Seed: seed, Peers: 200, Tesseras: 50, Duration: length, AFR: afr, Offline: -1, Flapping: share, Away: 8 * time.Hour,
	}
}

// FlappingMonth simulates a month of a network of which a fifth leaves for good within a year, once it is known who
// comes back, by the default policies. It gives the bytes that repairs move without flapping and with 30 % of it
// daily. Errors: that of ctx, or that of asking.
func FlappingMonth(ctx context.Context, seed uint64) (still, steady int64, err error) {
	moved := func(share float64, length time.Duration) int64 {
		r, failed := runDefault(ctx, FlappingWorld(seed, 0.2, share, length))
		err = errors.Join(err, failed)
		return r.RepairBytes
	}
	still = moved(0, settled+month) - moved(0, settled)
	steady = moved(0.3, settled+later+month) - moved(0.3, settled+later)
	return still, steady, err
}

// runDefault is a run by the default policies.
func runDefault(ctx context.Context, c Config) (Result, error) {
	clock := NewClock()
	e := NewEngine(clock, policy.Config{})
	r, err := Run(ctx, e, clock, c, nil)
	return r, errors.Join(err, e.Close())
}
