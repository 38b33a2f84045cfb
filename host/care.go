package host

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/rebuild"
	"github.com/tesseras/tesseras/host/scrub"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/sweep"
	"github.com/tesseras/tesseras/sdk"
)

// openCare opens the rooms that look after this disk.
func (s *store) openCare(cfg *config.Config, log *slog.Logger) (err error) {
	s.scrubber, err = scrub.New(scrub.Deps{
		Objects: s.objects, Catalog: s.catalog, Documents: papers{s}, Quarantine: sweep.Quarantine, Now: time.Now, Log: log,
	}, scrub.Config{
		Period: cfg.Maintenance.ScrubPeriod.Std(), Interval: cfg.Replication.RepairInterval.Std(), Rate: int64(cfg.Maintenance.ScrubRate),
	})
	if err != nil {
		return err
	}
	s.sweeper, err = sweep.New(sweep.Deps{
		FS: s.dir, Objects: s.objects, Catalog: s.catalog, Doubt: s.doubt, Missing: s.scrubber.Missing,
		Clock: sweep.NewSystemClock(), Every: cfg.Replication.RepairInterval.Std() / 2, Log: log,
	})
	return err
}

// doubt says why the index may not know of all that is needed. What it does not know for a while after
// a rebuild, a document that could not be read then may still tell.
func (s *store) doubt(ctx context.Context) (reason string, err error) {
	rebuilt, err := rebuild.Last(s.catalog)
	if err != nil {
		return "", err
	}
	if !rebuilt.IsZero() && time.Since(rebuilt) < sweep.Keep {
		return "the index was rebuilt on " + rebuilt.UTC().Format(time.DateOnly), nil
	}
	return s.unreadable(ctx)
}

// unreadable names the first document that does not say what it should.
func (s *store) unreadable(ctx context.Context) (reason string, err error) {
	for id, err := range s.archive.Manifests() {
		if err != nil {
			return "", err
		}
		if _, err := s.archive.ReadManifest(id); err != nil {
			return err.Error(), ctx.Err()
		}
	}
	for id, err := range s.documents.shelf.List(sidecar.Plan) {
		if err != nil {
			return "", err
		}
		text, err := s.documents.Plan(id)
		if err == nil {
			_, err = fragment.OpenPlan(text)
		}
		if err != nil {
			return fmt.Sprintf("plan of %s: %v", id.Short(), err), ctx.Err()
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	if known, err := legacy.Recalled(s.catalog, s.dir); err != nil || !known {
		return "the index does not know yet all that came over from the old layout", err
	}
	return legacy.Unreadable(ctx, s.dir)
}

// GC implements localapi.Disk.
func (l *local) GC(ctx context.Context, o localapi.GCOptions) (localapi.Swept, error) {
	r, err := l.sweeper.Run(ctx, sweep.Options{DryRun: o.DryRun, Grace: o.Grace})
	return localapi.Swept{
		OrphansRemoved: r.Orphans, LeakedRefsRemoved: r.LeakedRefs, SkippedYoung: r.SkippedYoung, BytesFreed: r.BytesFreed,
		Trashed: r.Trashed, Missing: r.Missing, DryRun: o.DryRun, Postponed: r.Postponed, Doubt: r.Doubt,
	}, explain(err)
}

// Scrub implements localapi.Disk.
func (l *local) Scrub(ctx context.Context, progress localapi.ProgressFunc) (localapi.Scrubbed, error) {
	r, err := l.scrubber.Run(ctx, func(done, total int64) {
		progress(localapi.Progress{Stage: "reading every object", Done: done, Total: total, Unit: localapi.Bytes})
	})
	out := localapi.Scrubbed{Objects: r.Objects, Bytes: r.Bytes, Corrupt: r.Corrupt, Healed: r.Healed}
	if err != nil {
		return out, explain(err)
	}
	out.Damage, err = l.hits()
	return out, err
}

// ScrubControl implements localapi.Disk.
func (l *local) ScrubControl(_ context.Context, action localapi.ScrubAction) (localapi.ScrubStatus, error) {
	var err error
	switch action {
	case localapi.ScrubStart:
		err = l.scrubber.Start()
	case localapi.ScrubPause:
		err = l.scrubber.Pause()
	case localapi.ScrubResume:
		err = l.scrubber.Resume()
	case localapi.ScrubLook:
	default:
		err = localapi.Fail(localapi.CodeUsage, "", fmt.Errorf("scrub: unknown action %q", action))
	}
	if err != nil {
		return localapi.ScrubStatus{}, explain(err)
	}
	return l.scrubStatus()
}

func (l *local) scrubStatus() (localapi.ScrubStatus, error) {
	st, err := l.scrubber.Status()
	if err != nil {
		return localapi.ScrubStatus{}, err
	}
	out := localapi.ScrubStatus{
		State: localapi.ScrubWaiting, Objects: st.Objects, Bytes: st.Bytes, Corrupt: st.Corrupt, Healed: st.Healed,
		TotalObjects: int(st.Total.Objects), TotalBytes: st.Total.Bytes,
		Started: localapi.Moment{Time: st.Begun}, Finished: localapi.Moment{Time: st.Finished}, Next: localapi.Moment{Time: st.Next},
	}
	switch {
	case st.Paused:
		out.State = localapi.ScrubPaused
	case st.Active:
		out.State = localapi.ScrubRunning
	}
	out.Damage, err = l.hits()
	return out, err
}

// hits lists every file, fragment and document that is known to be damaged.
func (l *local) hits() (hits []localapi.Hit, err error) {
	hits = []localapi.Hit{}
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range eachHit(tx) {
			if err != nil {
				return err
			}
			hits = append(hits, h)
		}
		return nil
	})
	return hits, err
}

// damageOf lists what is known to be damaged of one tessera.
func (l *local) damageOf(id sdk.TesseraID) (damage []localapi.Damage, err error) {
	damage = []localapi.Damage{}
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range eachHit(tx) {
			if err != nil {
				return err
			}
			if h.ID == id {
				damage = append(damage, h.Damage)
			}
		}
		return nil
	})
	return damage, err
}

func eachHit(tx *catalog.Tx) iter.Seq2[localapi.Hit, error] {
	return func(yield func(localapi.Hit, error) bool) {
		for d, err := range tx.Damages() {
			var uses []catalog.Use
			if err == nil {
				uses, err = tx.Uses(d.Hash)
			}
			if err != nil {
				yield(localapi.Hit{}, err)
				return
			}
			for _, u := range uses {
				if h, err := hit(tx, d, u); !yield(h, err) {
					return
				}
			}
		}
		for d, err := range tx.BadDocuments() {
			var h localapi.Hit
			if err == nil {
				h, err = hitDocument(tx, d)
			}
			if !yield(h, err) || err != nil {
				return
			}
		}
	}
}

// hitDocument is what a person sees of a damaged document.
func hitDocument(tx *catalog.Tx, d catalog.BadDocument) (localapi.Hit, error) {
	h := localapi.Hit{ID: d.Tessera, Damage: localapi.Damage{
		Problem: fmt.Sprintf("its %s is damaged, as was seen on %s: %s", d.Kind, d.Found.UTC().Format(time.DateOnly), d.Problem),
	}}
	if d.Kind == catalog.DocJournal {
		h.Problem = fmt.Sprintf("the journal is damaged, as was seen on %s: %s", d.Found.UTC().Format(time.DateOnly), d.Problem)
	}
	return titled(tx, h)
}

// titled adds the title of an own tessera.
func titled(tx *catalog.Tx, h localapi.Hit) (localapi.Hit, error) {
	t, err := tx.Tessera(h.ID)
	if errors.Is(err, catalog.ErrNotFound) {
		return h, nil
	}
	h.Title = localapi.Name(t.Title)
	return h, err
}

func hit(tx *catalog.Tx, d catalog.Damage, u catalog.Use) (localapi.Hit, error) {
	h := localapi.Hit{ID: u.Tessera, Object: d.Hash, Damage: localapi.Damage{Path: localapi.Name(u.Name)}}
	h.Problem = "it held other bytes, which were put aside on " + d.Found.UTC().Format(time.DateOnly)
	if d.Lost {
		h.Problem = "it is missing, as was seen on " + d.Found.UTC().Format(time.DateOnly)
	}
	if u.Fragment {
		h.Fragment = &u.Index
	}
	return titled(tx, h)
}
