// Package cycle answers: when does the node look after itself?
//
// There is one background cycle. It runs its steps one after another, waits its interval with some
// jitter, and starts again; a test or a person calls Step instead of waiting.
package cycle

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Step is one thing the cycle does. It must return soon after ctx ends, and be safe to run again
// after it was cut short anywhere.
type Step struct {
	Name string
	Run  func(ctx context.Context) error
}

// Config says how often.
type Config struct {
	Interval time.Duration // between the end of a round and the start of the next
	Jitter   time.Duration // added or taken away at random, so that nodes do not march in step
	// First is the wait before the first round; 0 takes a random part of the interval.
	First time.Duration
}

// Cycle runs its steps in order, one round at a time.
type Cycle struct {
	steps  []Step
	config Config
	log    *slog.Logger
	wake   chan struct{}

	turn chan struct{} // holds one for the length of a round
}

// New returns a cycle that runs nothing until Run or Round.
func New(config Config, log *slog.Logger, steps ...Step) *Cycle {
	return &Cycle{steps: steps, config: config, log: log, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// Run repeats rounds until ctx ends, and returns when the round under way has stopped.
func (c *Cycle) Run(ctx context.Context) {
	wait := c.config.First
	if wait == 0 {
		wait = spread(c.config.Interval/2, c.config.Interval/2)
	}
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.wake:
			timer.Stop()
		case <-timer.C:
		}
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("maintenance round", "err", err)
		}
		wait = spread(c.config.Interval, c.config.Jitter)
	}
}

// Wake asks for a round now instead of at the end of the interval.
func (c *Cycle) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// Awaited tells that somebody has asked for a round: a step that can be cut short should be.
func (c *Cycle) Awaited() bool { return len(c.wake) > 0 }

// Round runs every step once. A step that fails does not keep the later ones from running; the
// errors come back joined. Rounds never overlap; who waits for one to end stops waiting when ctx ends.
func (c *Cycle) Round(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	var errs []error
	for _, s := range c.steps {
		if ctx.Err() != nil {
			break
		}
		begun := time.Now()
		err := s.Run(ctx)
		c.log.Debug("maintenance step", "step", s.Name, "took", time.Since(begun), "err", err)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// spread is d with at most jitter more or less, never negative.
func spread(d, jitter time.Duration) time.Duration {
	if jitter > 0 {
		d += rand.N(2*jitter) - jitter
	}
	return max(d, 0)
}
