package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// timed is work that says itself when what counts begins and ends: what lies before and after is
// preparation and tidying.
type timed func(ctx context.Context, t *timer) error

// timer measures one piece of work.
type timer struct {
	used      func() time.Duration // processor time of all our processes so far
	settle    func()               // lets the computer come to rest; nil = no need
	begun     time.Time
	usedFirst time.Duration
	allFirst  time.Duration
	wall, cpu time.Duration
	others    time.Duration // processor time of all else on this computer, the kernel's own work included
}

func (t *timer) begin() {
	if t.settle != nil {
		t.settle()
	}
	t.usedFirst, t.allFirst = t.used(), computerTime()
	t.begun = time.Now()
}

func (t *timer) end() {
	t.wall = time.Since(t.begun)
	t.cpu = t.used() - t.usedFirst
	t.others = max(0, computerTime()-t.allFirst-t.cpu)
}

// part is a raw part of a step.
type part struct {
	name  string
	bytes int64
	forms []form // any of which may be the fastest
}

// form is one way to do a raw part.
type form struct {
	name string
	run  timed
}

// contest runs a step and its raw parts in turn and gives the best of each.
func (l *lab) contest(ctx context.Context, name string, bytes int64, ours timed, parts []part) (row, error) {
	r := row{Step: name, Bytes: bytes}
	var own best
	theirs := make([]best, len(parts))
	for range l.rounds {
		if err := own.try(ctx, form{run: ours}, l.timer(l.settle)); err != nil {
			return r, err
		}
		l.settle()
		for i, p := range parts {
			for _, f := range p.forms {
				if f.name != theirs[i].form && theirs[i].rounds >= len(p.forms) {
					continue // the fastest form of the first round goes on alone
				}
				if err := theirs[i].try(ctx, f, l.timer(nil)); err != nil {
					return r, fmt.Errorf("raw part %s: %w", p.name, err)
				}
			}
		}
	}
	r.Seconds, r.CPU, r.Others = own.wall.Seconds(), own.cpu.Seconds(), own.others.Seconds()
	cpu := 0.0
	for i, p := range parts {
		b := theirs[i]
		r.Parts = append(r.Parts, partTime{p.name, b.form, p.bytes, b.wall.Seconds(), b.cpu.Seconds(), b.others.Seconds()})
		r.Bound += b.wall.Seconds()
		cpu += b.cpu.Seconds()
	}
	r.Ratio = r.Bound / r.Seconds
	if own.cpu > 0 {
		r.CPURatio = cpu / own.cpu.Seconds()
	}
	return r, nil
}

// best is the fastest of several runs.
type best struct {
	form              string
	rounds            int
	wall, cpu, others time.Duration
}

func (b *best) try(ctx context.Context, f form, t *timer) error {
	if err := f.run(ctx, t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.rounds++; b.rounds == 1 || t.wall < b.wall {
		b.form, b.wall, b.cpu, b.others = f.name, t.wall, t.cpu, t.others
	}
	return nil
}

// duel alternates short pieces of work and gives the medians, of the forms of the raw part the least. pause,
// if there is one, comes before each round and does not count.
func duel(ctx context.Context, name string, bytes int64, times int, pause func(), ours func(i int) error, raw ...func(i int) error) (row, error) {
	work := append([]func(i int) error{ours}, raw...)
	took := make([][]time.Duration, len(work))
	for i := range times {
		if err := ctx.Err(); err != nil {
			return row{}, err
		}
		if pause != nil {
			pause()
		}
		for k, do := range work {
			begun := time.Now()
			if err := do(i); err != nil {
				return row{}, err
			}
			took[k] = append(took[k], time.Since(begun))
		}
	}
	medians := make([]float64, len(work))
	for k := range took {
		slices.Sort(took[k])
		medians[k] = took[k][times/2].Seconds()
	}
	r := row{Step: name, Bytes: bytes, Seconds: medians[0], Bound: slices.Min(medians[1:])}
	r.Ratio = r.Bound / r.Seconds
	return r.noted("median of %d, alternating", times), nil
}
