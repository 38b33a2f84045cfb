// Package scrub answers: is everything that is needed still what it was?
//
// A disk forgets in silence. So every object that something refers to is read again once in a period,
// a share of them in each round of the maintenance cycle, in order of their hashes, never faster than
// the operator allows. Where a pass stands is kept in the index, so a restart loses nothing of it.
//
// At the end of a pass the documents beside the objects are read too: manifests, plans, tombstones, the
// journal. One that says nothing any more stays where it is, and that it does is written down.
//
// What is not what its name says moves to a quarantine: it is not deleted, and it is out of the way of
// those who make it good. That it is damaged, or lost, is written down; from then on this node does
// not claim to hold it, and repair brings it back.
package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
)

// Deps are the rooms scrubbing works with.
type Deps struct {
	Objects    *cas.Store
	Catalog    *catalog.Catalog
	Documents  Documents
	Quarantine string // folder of the data directory for what is damaged
	// Hurry tells that somebody waits for the round to end: the share is then cut short. It may be nil.
	Hurry func() bool
	Now   func() time.Time
	Log   *slog.Logger
}

// Config is what the operator chose.
type Config struct {
	Period   time.Duration // in which every object is read once
	Interval time.Duration // between two rounds
	Rate     int64         // bytes a second; 0 is a quarter of what the disk gives
}

// Service scrubs.
type Service struct {
	Deps
	config  Config
	limit   *rate.Limiter // nil without a rate
	reading sync.Mutex    // held by the one who reads

	mu    sync.Mutex // guards below
	state state
	runs  int // who waits to read everything at once
	stats Stats
}

// Stats count since the node was opened.
type Stats struct {
	Objects, Bytes  int64 // read
	Corrupt, Healed int64
}

// New returns a Service that goes on where the index says.
func New(d Deps, c Config) (*Service, error) {
	s := &Service{Deps: d, config: c}
	if c.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(c.Rate), max(int(min(c.Rate, step)), 1))
	}
	var err error
	s.state, err = load(d.Catalog)
	if err != nil {
		return nil, fmt.Errorf("open scrub: %w", err)
	}
	return s, nil
}

// Report is what was found.
type Report struct {
	Objects int
	Bytes   int64
	Corrupt int // damaged or lost, documents among them
	Healed  int // known to be damaged before, and whole now
}

// Progress is told how many of how many bytes have been read.
type Progress func(done, total int64)

// Step is a round of the maintenance cycle: the share that is due.
func (s *Service) Step(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	totals, err := s.totals()
	if err != nil {
		return err
	}
	due, err := s.due(totals)
	if err != nil || due <= 0 {
		return err
	}
	_, err = s.read(ctx, due, s.share, nil)
	return err
}

// share tells whether the share goes on.
func (s *Service) share() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.state.Paused && s.runs == 0 && (s.Hurry == nil || !s.Hurry())
}

// Run reads everything now, from the first object to the last, paused or not. It counts as a pass: what
// it leaves when ctx ends is read in the rounds that follow.
func (s *Service) Run(ctx context.Context, progress Progress) (Report, error) {
	s.wait(1)
	s.reading.Lock()
	defer s.reading.Unlock()
	s.wait(-1)
	if err := s.begin(false); err != nil {
		return Report{}, err
	}
	return s.read(ctx, all, func() bool { return true }, progress)
}

func (s *Service) wait(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs += n
}

// all is a share without an end.
const all = int64(1) << 62

// partObjects is how many objects are read between two notes of where the pass stands.
const partObjects = 256

// read goes on with the pass while the share lasts and goesOn.
func (s *Service) read(ctx context.Context, share int64, goesOn func() bool, progress Progress) (sum Report, err error) {
	totals, err := s.totals()
	if err != nil {
		return sum, err
	}
	free := share != all // nobody waits for it
	for share > 0 && goesOn() {
		part, err := s.next(partObjects)
		if err != nil {
			return sum, err
		}
		if len(part) == 0 {
			r, err := s.documents(ctx, free)
			sum.add(r)
			if err := errors.Join(err, s.note(r)); err != nil {
				return sum, err
			}
			return sum, s.finish()
		}
		r, spent, err := s.part(ctx, part, share, free, goesOn, func(bytes int64) {
			if progress != nil {
				progress(sum.Bytes+bytes, totals.Bytes)
			}
		})
		sum.add(r)
		share -= spent
		if err := errors.Join(err, s.note(r)); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (r *Report) add(o Report) {
	r.Objects += o.Objects
	r.Bytes += o.Bytes
	r.Corrupt += o.Corrupt
	r.Healed += o.Healed
}

// part reads some objects and moves the cursor behind each.
func (s *Service) part(ctx context.Context, part []catalog.Object, share int64, paced bool, goesOn func() bool, progress func(int64)) (sum Report, spent int64, err error) {
	var suspect bool // any of them
	err = s.Catalog.View(func(tx *catalog.Tx) (err error) {
		suspect, err = tx.AnyDamage()
		return err
	})
	if err != nil {
		return sum, 0, err
	}
	for _, o := range part {
		if err := ctx.Err(); err != nil {
			return sum, spent, err
		}
		if spent >= share || !goesOn() {
			return sum, spent, nil
		}
		r, err := s.object(ctx, o, suspect, s.pace(ctx, paced))
		if err != nil {
			return sum, spent, err
		}
		sum.add(r)
		spent += cost(o.Size, 1)
		s.passed(o.Hash)
		progress(sum.Bytes)
	}
	return sum, spent, nil
}

// objectCost is what an object costs beside its bytes, as if it were so many more.
const objectCost = 4 << 10

func cost(bytes, objects int64) int64 { return bytes + objects*objectCost }

// next lists the needed objects that follow the cursor.
func (s *Service) next(n int) (part []catalog.Object, err error) {
	from, done := s.cursor()
	if done {
		return nil, nil
	}
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for o, err := range tx.States(from) {
			if err != nil {
				return err
			}
			if o.Needed {
				part = append(part, o.Object)
			}
			if len(part) == n {
				return nil
			}
		}
		return nil
	})
	return part, err
}

func (s *Service) totals() (t catalog.Totals, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		t, err = tx.Totals()
		return err
	})
	return t, err
}

// Check reads one object now, outside of any pass.
func (s *Service) Check(ctx context.Context, h digest.Hash) (Report, error) {
	var o catalog.Object
	err := s.Catalog.View(func(tx *catalog.Tx) (err error) {
		o, err = tx.Object(h)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, err
	}
	return s.object(ctx, o, true, s.pace(ctx, false))
}

// Stats gives the counts so far.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
