package dht

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/sdk"
)

// firstLook is how soon after the start a node looks around again. Whoever starts together with
// others sees only those who were there before; the wait then grows up to RefreshInterval.
const firstLook = 2 * time.Second

// Run looks after the table, the pointers and the announcements until ctx ends; then it saves whom it met.
func (d *DHT) Run(ctx context.Context) error {
	for {
		wait := d.untilNextStep()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return d.save(context.WithoutCancel(ctx))
		case <-d.begun:
			timer.Stop()
			continue
		case <-timer.C:
		}
		if err := d.Step(ctx); err != nil && ctx.Err() == nil {
			d.config.Log.Warn("peer discovery", "err", err)
		}
	}
}

// untilNextStep is StepInterval with a tenth of jitter, or less when a look around is due before.
func (d *DHT) untilNextStep() time.Duration {
	wait := d.config.StepInterval + rand.N(d.config.StepInterval/10+1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.nextLook.IsZero() {
		wait = min(wait, max(d.nextLook.Sub(d.config.Now()), firstLook))
	}
	return wait
}

// Step does one round of what is due: expiry, finding back to the network, pings, looking around,
// announcing, saving. A part that fails does not keep the others from running.
func (d *DHT) Step(ctx context.Context) error {
	d.mu.Lock()
	d.core.Expire(d.config.Now())
	d.mu.Unlock()
	var errs []error
	for _, part := range []func(context.Context) error{d.rejoin, d.pingSilent, d.lookAround, d.reannounce, d.save} {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, part(ctx))
	}
	return errors.Join(errs...)
}

// rejoin bootstraps again when nobody is left.
func (d *DHT) rejoin(ctx context.Context) error {
	d.mu.Lock()
	addresses := d.bootstrap
	d.mu.Unlock()
	if !d.alone() {
		return nil
	}
	return d.Bootstrap(ctx, addresses)
}

func (d *DHT) alone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Alone()
}

// pingSilent asks peers that were not heard of for a while whether they live.
func (d *DHT) pingSilent(ctx context.Context) error {
	d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.PingDue(now, func(time.Time) { done() })
	})
	return nil
}

// lookAround looks for the nodes nearest to this one and into every bucket up to theirs.
func (d *DHT) lookAround(ctx context.Context) error {
	now := d.config.Now()
	d.mu.Lock()
	due := !now.Before(d.nextLook)
	if due {
		d.nextLook = now.Add(d.lookAfter)
		d.lookAfter = min(4*d.lookAfter, d.config.RefreshInterval)
	}
	d.mu.Unlock()
	if !due {
		return nil
	}
	d.explore(ctx)
	return nil
}

// explore looks around this node's own id, and into the buckets that this cannot have filled.
func (d *DHT) explore(ctx context.Context) {
	d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.Explore(now, func(time.Time) { done() })
	})
	if !d.alone() {
		d.join()
	}
}

// reannounce publishes pointers to what is held, when it is due: to what this node leads every
// AnnounceEvery, and to everything every AnnounceRest.
func (d *DHT) reannounce(ctx context.Context) error {
	now := d.config.Now()
	d.mu.Lock()
	all := d.announcedAll.IsZero() || now.Sub(d.announcedAll) >= d.config.AnnounceRest
	due := all || now.Sub(d.announced) >= d.config.AnnounceEvery
	d.mu.Unlock()
	if !due || d.config.Holdings == nil {
		return nil
	}
	held, err := d.config.Holdings(ctx)
	if err != nil {
		return fmt.Errorf("list what is held: %w", err)
	}
	if leads := d.config.Leads; leads != nil && !all {
		held = slices.DeleteFunc(held, func(t sdk.TesseraID) bool { return !leads(t) })
	}
	if _, err := d.Announce(ctx, held); err != nil && !errors.Is(err, ErrNobody) {
		return err
	} else if err != nil {
		return nil // a lone node; the next step tries again
	}
	d.mu.Lock()
	d.announced = now
	if all {
		d.announcedAll = now
	}
	d.mu.Unlock()
	return nil
}

// save writes the address book when it has changed.
func (d *DHT) save(ctx context.Context) error {
	if d.config.Memory == nil {
		return nil
	}
	d.mu.Lock()
	peers, dirty := d.core.Peers(), d.dirty
	d.dirty = false
	d.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := d.config.Memory.Save(ctx, peers); err != nil {
		d.mu.Lock()
		d.dirty = true
		d.mu.Unlock()
		return fmt.Errorf("save known peers: %w", err)
	}
	return nil
}
