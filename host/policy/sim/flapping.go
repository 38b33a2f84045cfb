package sim

import (
	"context"
	"errors"
	"time"

	"github.com/tesseras/tesseras/host/policy"
)

// The months that are compared to tell what flapping costs.
const (
	month = 30 * day
	// later is by how much more patient a node is with those that come back: their deaths are the same, and repaired
	// later.
	later = 3 * day
)

// Settled is how old a network is when a node knows who comes back.
const Settled = 14 * day

// FlappingWorld is a small world in which a share of the peers leaves within a year (negative is none), and another
// share, drawn afresh each day, is away for eight hours and comes back with its disk: a third of these are away
// at the hour of any look.
func FlappingWorld(seed uint64, afr, share float64, length time.Duration) Config {
	return Config{
		Seed: seed, Peers: 200, Tesseras: 50, Duration: length, AFR: afr, Offline: -1, Flapping: share, Away: 8 * time.Hour,
	}
}

// FlappingMonth simulates a network of which a fifth leaves for good within a year until it is so old, and a month more,
// by the default policies. It gives the bytes that repairs of that month move without flapping and with 30 % of it
// daily. What is repaired later in a network that flaps is counted, so of the very first month, after 0, all that is
// moved in 33 days. Errors: that of ctx, or that of asking.
func FlappingMonth(ctx context.Context, seed uint64, after time.Duration) (still, flapping int64, err error) {
	moved := func(share float64, length time.Duration) int64 {
		r, failed := runDefault(ctx, FlappingWorld(seed, 0.2, share, length))
		err = errors.Join(err, failed)
		return r.RepairBytes
	}
	still, flapping = moved(0, after+month), moved(0.3, after+later+month)
	if after > 0 {
		still -= moved(0, after)
		flapping -= moved(0.3, after+later)
	}
	return still, flapping, err
}

// runDefault is a run by the default policies.
func runDefault(ctx context.Context, c Config) (Result, error) {
	clock := NewClock()
	e := NewEngine(clock, policy.Config{})
	r, err := Run(ctx, e, clock, c, nil)
	return r, errors.Join(err, e.Close())
}
