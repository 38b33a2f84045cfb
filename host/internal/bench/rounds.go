package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/policy/sim"
	"github.com/tesseras/tesseras/sdk"
)

// What it costs to look after others' fragments round by round.

func roundSteps(l *lab) []step {
	return []step{
		{"healthy round", func(ctx context.Context) ([]row, error) { return roundRow(ctx, l) }},
		{"lost peer", func(ctx context.Context) ([]row, error) { return lostRow(ctx, l) }},
		{"flapping", func(ctx context.Context) ([]row, error) { return flappingRows(ctx, l) }},
	}
}

// The goals of a round, for so many fragments kept.
const (
	keptGoal      = 100_000
	roundGoal     = 60  // seconds of processor time
	roundMemory   = 128 // MiB
	roundsWatched = 8   // in which everything is due at least once
)

// roundRow lets a node that keeps fragments of healthy tesseras do rounds a day apart. The figures are scaled to
// 100,000; memory is as it was, because a round goes by pages, and these fill some.
func roundRow(ctx context.Context, l *lab) ([]row, error) {
	n := 3000
	if l.quick {
		n = 100
	}
	c, err := newCustodian(ctx, l, n)
	if err != nil {
		return nil, err
	}
	r, err := c.rounds(ctx, l, n)
	return []row{r}, errors.Join(err, c.close())
}

func (c *custodian) rounds(ctx context.Context, l *lab, n int) (r row, err error) {
	if err := c.pass(ctx, roundsWatched); err != nil { // every plan is verified once
		return r, err
	}
	l.settle()
	runtime.GC()
	peak := watchHeap()
	began := working()
	if err := c.pass(ctx, roundsWatched); err != nil {
		return r, err
	}
	scale := float64(keptGoal) / float64(n)
	took := (working() - began).Seconds() / roundsWatched
	memory := float64(peak()) / mib
	r = row{
		Step: "round over healthy fragments", Seconds: took, Value: took * scale, Unit: "s for 100,000",
		Goal: fmt.Sprintf("%d s, %d MiB", roundGoal, roundMemory),
	}
	r = r.judged(r.Value <= roundGoal && memory <= roundMemory)
	return r.noted("%.0f MiB alive; mean of %d rounds over %d; processor time", memory, roundsWatched, n), nil
}

// pass lets days pass, with a round each.
func (c *custodian) pass(ctx context.Context, rounds int) error {
	for range rounds {
		c.clock = c.clock.Add(roundEvery)
		if err := c.Custody(ctx); err != nil {
			return err
		}
	}
	return nil
}

// record takes down what all others say of everything, page by page as a round does, and tells the processor
// time in seconds. The tesseras are all of one owner and of the same size.
func (c *custodian) record() (float64, error) {
	c.clock = c.clock.Add(roundEvery)
	owner, size := c.plans[0].Owner(), c.plans[0].ShardSize()
	slices.SortFunc(c.plans, func(a, b *fragment.FragmentPlan) int { return bytes.Compare(a.Tessera[:], b.Tessera[:]) })
	began := working()
	for page := range slices.Chunk(c.plans, 1024) {
		answers := make([]holders.Answer, otherHolders)
		for n := range answers {
			from := othersContact(n)
			answers[n] = holders.Answer{Holder: from, Owner: sdk.OwnerKey(from.Key), Statements: make([]holders.Statement, len(page))}
			for i, p := range page {
				answers[n].Statements[i] = holders.Statement{Tessera: p.Tessera, Owner: owner, ShardSize: size, Fragments: []int{n}}
			}
		}
		if err := c.book.AttestedAll(answers); err != nil {
			return 0, err
		}
	}
	return (working() - began).Seconds(), nil
}

// watchHeap looks now and then at what lives on the heap, and tells by how much that grew at most since it
// was called. Garbage is left out: how much of it there is hangs on what else this process holds.
func watchHeap() (stop func() uint64) {
	live := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := live()
	most := before
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
			most = max(most, live())
		}
	}()
	return func() uint64 {
		close(quit)
		<-done
		return most - before
	}
}

// lostRow lets one of 24 holders die, and counts at the seam to the disk what its replacement reads and
// writes.
func lostRow(ctx context.Context, l *lab) ([]row, error) {
	n := 200
	if l.quick {
		n = 10
	}
	c, err := newCustodian(ctx, l, n)
	if err != nil {
		return nil, err
	}
	r, err := c.replace(ctx, n)
	return []row{r}, errors.Join(err, c.close())
}

func (c *custodian) replace(ctx context.Context, n int) (row, error) {
	c.dead = othersContact(7).Key
	c.disk.read.Store(0)
	c.disk.written.Store(0)
	began := time.Now()
	spare := othersContact(otherHolders).Key
	for round := 0; len(c.held[spare]) < n; round++ {
		if round > 64 {
			return row{}, fmt.Errorf("%d of %d tesseras have a new holder", len(c.held[spare]), n)
		}
		c.clock = c.clock.Add(roundEvery)
		if err := c.Custody(ctx); err != nil {
			return row{}, err
		}
	}
	shard := float64(n) * float64(c.plans[0].ShardSize())
	sent := shard // each rebuilt shard is read once more, to be sent
	read, written := (float64(c.disk.read.Load())-sent)/shard, float64(c.disk.written.Load())/shard
	r := row{
		Step: "replace one holder of 24", Seconds: time.Since(began).Seconds(), Value: read, Unit: "shards read of each tessera",
		Goal: "<= 16, 1 written",
	}
	return r.judged(read <= 16 && written <= 1).noted("%.2f written; counted at the seam to the disk, %d tesseras", written, n), nil
}

// flappingRows compare the repair traffic of a month of 30 % daily flapping with that of the same month without: once
// it is known who comes back, and of the very first one.
func flappingRows(ctx context.Context, l *lab) ([]row, error) {
	later, err := flappingRow(ctx, l, "30 % daily flapping", sim.Settled)
	if err != nil {
		return nil, err
	}
	first, err := flappingRow(ctx, l, "30 % daily flapping, first month", 0)
	return []row{later, first}, err
}

// flappingRow is the row of the month that begins so long after the network.
func flappingRow(ctx context.Context, l *lab, step string, after time.Duration) (row, error) {
	worlds := 4
	if l.quick {
		worlds = 1
	}
	began := time.Now()
	var still, flapping int64
	for seed := range uint64(worlds) {
		without, with, err := sim.FlappingMonth(ctx, seed+1, after)
		if err != nil {
			return row{}, err
		}
		still, flapping = still+without, flapping+with
	}
	r := row{
		Step: step, Seconds: time.Since(began).Seconds(), Value: 100 * (float64(flapping)/float64(still) - 1),
		Unit: "% more repair traffic", Goal: "< 5 %",
	}
	return r.judged(r.Value < 5).noted("in a month: %d MiB beside %d without; simulated, %d worlds", flapping>>20, still>>20, worlds), nil
}
