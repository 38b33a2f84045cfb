package dht

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/identity"
)

// firstLook is how soon after the start a node looks around again. Whoever starts together with
// others sees only those who were there before; the wait then grows up to RefreshInterval.
const firstLook = 2 * time.Second

// pingsPerStep bounds what one step asks of silent contacts.
const pingsPerStep = 64

// Run looks after the table, the pointers and the announcements until ctx ends.
func (d *DHT) Run(ctx context.Context) error {
	for {
		wait := d.untilNextStep()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
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
	d.pointers.expire(d.config.Now())
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
	alone := len(d.table.closest(d.own, 1, func(c identity.Contact) bool { return d.book.alive(c.Key) })) == 0
	addresses := d.bootstrap
	d.mu.Unlock()
	if !alone {
		return nil
	}
	return d.Bootstrap(ctx, addresses)
}

// pingSilent asks peers that were not heard of for a while whether they live.
func (d *DHT) pingSilent(ctx context.Context) error {
	d.mu.Lock()
	due := d.book.due(d.config.Now(), pingsPerStep, d.config.PingAfter, d.config.RetryAfter, d.table.has)
	d.mu.Unlock()
	d.each(due, func(c identity.Contact) {
		if _, err := d.Ping(ctx, c); err != nil {
			d.config.Log.Debug("no answer to a ping", "peer", c.ID().Short(), "err", err)
		}
	})
	return nil
}

// each runs f for every contact, a few at a time.
func (d *DHT) each(contacts []identity.Contact, f func(identity.Contact)) {
	var group errgroup.Group
	group.SetLimit(d.config.Alpha)
	for _, c := range contacts {
		group.Go(func() error {
			f(c)
			return nil
		})
	}
	group.Wait()
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
	return d.explore(ctx)
}

// explore looks around this node's own id, and into the buckets that this cannot have filled: with
// fewer than K answers everybody was found, else everybody nearer than the farthest.
func (d *DHT) explore(ctx context.Context) error {
	near := d.lookup(ctx, d.own)
	if len(near) < d.config.K {
		return nil
	}
	farthest := sharedBits(d.own, ID(near[len(near)-1].ID()))
	for i := 0; i <= farthest && ctx.Err() == nil; i++ {
		if !d.worthExploring(i) {
			continue
		}
		var random ID
		if _, err := io.ReadFull(d.config.Random, random[:]); err != nil {
			return fmt.Errorf("draw an id: %w", err)
		}
		d.lookup(ctx, withPrefix(d.own, random, i))
	}
	return nil
}

// worthExploring tells whether a bucket was not looked into for a while, and notes that it is now.
func (d *DHT) worthExploring(i int) bool {
	now := d.config.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.table.full(i) && now.Sub(d.looked[i]) < d.config.RefreshInterval {
		return false
	}
	d.looked[i] = now
	return true
}

// reannounce publishes pointers to all that is held, when it is due.
func (d *DHT) reannounce(ctx context.Context) error {
	now := d.config.Now()
	d.mu.Lock()
	due := d.announced.IsZero() || now.Sub(d.announced) >= d.config.AnnounceEvery
	d.mu.Unlock()
	if !due || d.config.Holdings == nil {
		return nil
	}
	held, err := d.config.Holdings(ctx)
	if err != nil {
		return fmt.Errorf("list what is held: %w", err)
	}
	if _, err := d.Announce(ctx, held); err != nil && !errors.Is(err, ErrNobody) {
		return err
	} else if err != nil {
		return nil // a lone node; the next step tries again
	}
	d.mu.Lock()
	d.announced = now
	d.mu.Unlock()
	return nil
}

// save writes the address book when it has changed.
func (d *DHT) save(ctx context.Context) error {
	if d.config.Memory == nil {
		return nil
	}
	d.mu.Lock()
	peers, dirty := d.book.list(), d.dirty
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
