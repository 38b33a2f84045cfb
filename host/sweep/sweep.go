// Package sweep answers: which files does nobody need, and which rows nothing?
//
// What a crash or a fault left behind goes here: object files that no row asks for, object rows that no
// reference asks for, temporary files that nobody writes, outboards of objects that are gone. Names on disk and rows of the index come in
// the same order, so both are read side by side, one of 256 folders at a time, and memory does not grow
// with more than the largest folder.
//
// Nothing goes that may still be wanted. A file must be older than the grace; the clock by which it is
// must not have leapt since the last round; whether it is needed is asked again under the lock that those who stage must
// take; and while there is reason to doubt the index itself, because it was rebuilt lately or because
// a document beside it cannot be read, files only move to a trash.
package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

const (
	// DefaultGrace is how old an orphan must be to go.
	DefaultGrace = time.Hour
	// Keep is how long what was only moved aside is kept.
	Keep = 30 * 24 * time.Hour
)

// Deps are the rooms the sweep works with.
type Deps struct {
	FS      vfs.FS // the data directory
	Objects *cas.Store
	Catalog *catalog.Catalog
	// Doubt says why the index may not know of all that is needed; "" is no doubt. It is asked only when
	// there is something to remove.
	Doubt func(context.Context) (reason string, err error)
	// Missing is told objects that are needed and have no file. It may be nil.
	Missing func([]digest.Hash) error
	Clock   Clock
	// Every is the least time between two sweeps of the maintenance cycle, whose rounds may follow each
	// other closely when somebody waits for them.
	Every time.Duration
	Log   *slog.Logger
}

// Service sweeps.
type Service struct {
	Deps
	watch watch
	stats stats

	mu   sync.Mutex // guards next
	next time.Duration
	boot string // of next
}

// New returns a Service and looks at the clock for the first time.
func New(d Deps) (*Service, error) {
	s := &Service{Deps: d}
	s.watch.catalog = d.Catalog
	_, err := s.watch.look(d.Clock)
	return s, err
}

// Options say how to sweep.
type Options struct {
	DryRun bool          // only count what would go
	Grace  time.Duration // how old an orphan must be; negative is DefaultGrace
}

// Report is what a sweep did, or would have done.
type Report struct {
	Orphans      int    // files without a row that went, temporary ones included
	LeakedRefs   int    // object rows without a reference that went
	SkippedYoung int    // what may still be on its way
	BytesFreed   int64  // by those that were removed, not by those that moved
	Trashed      int    // of the orphans, those that were only moved aside
	Missing      int    // needed objects without a file
	Strays       int    // files among the objects that have no object's name; they are left alone
	Postponed    string // why nothing went; "" otherwise
	Doubt        string // why orphans were only moved aside; "" otherwise
}

// Step is a round of the maintenance cycle.
func (s *Service) Step(ctx context.Context) error {
	if !s.due() {
		return nil
	}
	r, err := s.Run(ctx, Options{Grace: -1})
	if r.Orphans+r.LeakedRefs+r.Missing > 0 || r.Postponed != "" {
		s.Log.Info("swept", "orphans", r.Orphans, "leaked_refs", r.LeakedRefs, "skipped_young", r.SkippedYoung, "bytes_freed", r.BytesFreed,
			"trashed", r.Trashed, "missing", r.Missing, "postponed", r.Postponed, "doubt", r.Doubt)
	}
	return err
}

// due tells whether a step is to sweep again, by the steady clock.
func (s *Service) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	boot, up := s.Clock.Steady()
	if boot == s.boot && up < s.next {
		return false
	}
	s.boot, s.next = boot, up+s.Every
	return true
}

// Run sweeps once. It may be stopped at any moment and run again; there is one at a time.
func (s *Service) Run(ctx context.Context, o Options) (Report, error) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	begun := time.Now() // reads the steady clock too
	if o.Grace < 0 {
		o.Grace = DefaultGrace
	}
	r := &round{s: s, options: o, now: s.Clock.Now()}
	err := r.run(ctx)
	if !o.DryRun {
		s.stats.add(r.Report, time.Since(begun))
	}
	if err != nil {
		err = fmt.Errorf("sweep: %w", err)
	}
	return r.Report, err
}

// round is one sweep.
type round struct {
	Report
	s       *Service
	options Options
	now     time.Time
	doubted bool // Doubt was asked
}

func (r *round) run(ctx context.Context) error {
	leapt, err := r.s.watch.look(r.s.Clock)
	if err != nil {
		return err
	}
	switch {
	case leapt.since < r.options.Grace:
		r.Postponed = fmt.Sprintf("the clock leapt %s ago", leapt.since.Round(time.Second))
	case leapt.pending && r.options.Grace > 0:
		r.Postponed = "the clock leapt, or the machine was off for long, since the last sweep"
	}
	for first := range cas.Folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.folder(ctx, byte(first)); err != nil {
			return err
		}
	}
	if err := r.derived(ctx); err != nil {
		return err
	}
	if r.Postponed != "" && !r.options.DryRun {
		return r.s.watch.change(func(now *reading) { now.Pending = false }) // this was the round
	}
	return r.emptyTrash()
}

// removes tells whether anything goes in this round.
func (r *round) removes() bool { return r.Postponed == "" && !r.options.DryRun }

// folder compares the rows and the files of one folder. The rows are read first: a file that comes
// meanwhile is young, and one that goes meanwhile is looked for again.
func (r *round) folder(ctx context.Context, first byte) error {
	rows, err := r.rows(first)
	if err != nil {
		return err
	}
	files, strays, err := r.s.Objects.List(first)
	if err != nil {
		return err
	}
	r.Strays += strays
	f := compare(rows, files)
	if err := r.orphans(ctx, f.orphans); err != nil {
		return err
	}
	if err := r.leaked(ctx, f.leaked); err != nil {
		return err
	}
	return r.missing(f.missing)
}

// rows reads the object rows of one folder.
func (r *round) rows(first byte) (rows []catalog.ObjectState, err error) {
	err = r.s.Catalog.View(func(tx *catalog.Tx) error {
		for o, err := range tx.States(digest.Hash{first}) {
			if err != nil {
				return err
			}
			if o.Hash[0] != first {
				break
			}
			rows = append(rows, o)
		}
		return nil
	})
	return rows, err
}

// findings is where the rows and the files of a folder differ.
type findings struct {
	orphans []cas.Listed     // files without a row
	leaked  []catalog.Object // rows without a reference
	missing []digest.Hash    // references without a file
}

// compare merges two lists that are in order of their hashes.
func compare(rows []catalog.ObjectState, files []cas.Listed) (f findings) {
	for len(rows) > 0 || len(files) > 0 {
		switch order(rows, files) {
		case -1:
			if rows[0].Needed {
				f.missing = append(f.missing, rows[0].Hash)
			} else {
				f.leaked = append(f.leaked, rows[0].Object)
			}
			rows = rows[1:]
		case 1:
			f.orphans = append(f.orphans, files[0])
			files = files[1:]
		default:
			if !rows[0].Needed {
				f.leaked = append(f.leaked, rows[0].Object)
			}
			rows, files = rows[1:], files[1:]
		}
	}
	return f
}

func order(rows []catalog.ObjectState, files []cas.Listed) int {
	switch {
	case len(files) == 0:
		return -1
	case len(rows) == 0:
		return 1
	}
	return bytes.Compare(rows[0].Hash[:], files[0].Hash[:])
}

// orphans removes the files that are old enough.
func (r *round) orphans(ctx context.Context, found []cas.Listed) error {
	var old []digest.Hash
	sizes := make(map[digest.Hash]int64)
	for _, f := range found {
		size, modified, err := f.Stat()
		if errors.Is(err, cas.ErrMissing) {
			continue
		}
		if err != nil {
			return err
		}
		if r.young(modified) {
			r.SkippedYoung++
			continue
		}
		old = append(old, f.Hash)
		sizes[f.Hash] = size
	}
	gone, freed, err := r.discard(ctx, old)
	for _, h := range gone {
		r.Orphans++
		if freed {
			r.BytesFreed += sizes[h]
		} else {
			r.Trashed++
		}
	}
	return err
}

// young tells whether a file may still be on its way. One that bears a time to come tells nothing of
// its age.
func (r *round) young(modified time.Time) bool { return r.now.Sub(modified) < r.options.Grace }

// discard removes objects, or moves them aside while there is doubt. freed tells which.
func (r *round) discard(ctx context.Context, hashes []digest.Hash) (gone []digest.Hash, freed bool, err error) {
	switch {
	case len(hashes) == 0 || r.Postponed != "":
		return nil, false, nil
	case r.options.DryRun:
		return hashes, true, nil
	}
	if err := r.ask(ctx); err != nil {
		return nil, false, err
	}
	if r.Doubt != "" {
		gone, err = r.s.Objects.MoveAll(hashes, Trash+"/"+r.now.UTC().Format(time.DateOnly), r.s.Catalog.Needed)
		return gone, false, err
	}
	gone, err = r.s.Objects.RemoveAll(hashes, r.s.Catalog.Needed)
	return gone, true, err
}

// ask asks once a round whether the index is in doubt.
func (r *round) ask(ctx context.Context) (err error) {
	if r.doubted || r.s.Deps.Doubt == nil {
		return nil
	}
	r.Doubt, err = r.s.Deps.Doubt(ctx)
	r.doubted = err == nil
	return err
}

// leaked cleans object rows that nothing refers to: the file goes first, then the row.
func (r *round) leaked(ctx context.Context, found []catalog.Object) error {
	var old []digest.Hash
	sizes := make(map[digest.Hash]int64)
	for _, o := range found {
		if r.young(o.Created) {
			r.SkippedYoung++
			continue
		}
		if size, err := r.sizeOnDisk(o.Hash); err != nil {
			return err
		} else if size >= 0 {
			sizes[o.Hash] = size
		}
		old = append(old, o.Hash)
	}
	gone, freed, err := r.discard(ctx, old)
	if err != nil {
		return err
	}
	if !r.options.DryRun {
		err = catalog.ReclaimEach(r.s.Catalog, gone, func(tx *catalog.Tx, h digest.Hash) error {
			back, err := r.s.Objects.Contains(h) // somebody may have put it, needed it and released it again
			if err != nil || back {
				return err
			}
			_, err = tx.DropObject(h)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, h := range gone {
		r.LeakedRefs++
		if freed {
			r.BytesFreed += sizes[h]
		}
	}
	return nil
}

// sizeOnDisk is the size of an object's file, -1 where there is none.
func (r *round) sizeOnDisk(h digest.Hash) (int64, error) {
	v, err := r.s.Objects.Version(h)
	if errors.Is(err, cas.ErrMissing) {
		return -1, nil
	}
	return v.Size(), err
}

// missing tells of needed objects without a file, after a second look: what was released meanwhile is
// no loss.
func (r *round) missing(found []digest.Hash) error {
	var lost []digest.Hash
	for _, h := range found {
		here, err := r.s.Objects.Contains(h)
		if err != nil {
			return err
		}
		needed, err := r.s.Catalog.Needed(h)
		if err != nil {
			return err
		}
		if needed && !here {
			lost = append(lost, h)
		}
	}
	r.Missing += len(lost)
	if len(lost) == 0 || r.options.DryRun || r.s.Deps.Missing == nil {
		return nil
	}
	return r.s.Deps.Missing(lost)
}

// derived removes what no row asks for by its nature: temporary files that nobody writes any more, and
// outboards of objects that are gone. They are made again when they are needed, so they need no trash.
func (r *round) derived(ctx context.Context) error {
	for _, clear := range []func(context.Context, time.Time, bool) (cas.Leaked, error){r.s.Objects.ClearTemps, r.s.Objects.ClearOutboards} {
		found, err := clear(ctx, r.now.Add(-r.options.Grace), r.removes())
		if r.Postponed == "" {
			r.Orphans += found.Files
			r.BytesFreed += found.Bytes
		}
		r.SkippedYoung += found.Young
		if err != nil {
			return err
		}
	}
	return nil
}
