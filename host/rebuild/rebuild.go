// Package rebuild answers: what does the index say, if nothing is left of it but the files beside it?
//
// Objects, manifests, plans, tombstones and the journal say everything that matters: which files of
// which tesseras there are, which fragments are kept for whom, who holds what of the own tesseras, and
// what owners owe each other. Only what passes is lost: when a holder was last heard of, which peers
// were met. A document that cannot be read is told of and passed over; what it asked for is not known
// then, so nothing is removed for a while (see package sweep).
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Manifests are the documents of the own tesseras.
type Manifests interface {
	Manifests() iter.Seq2[sdk.TesseraID, error]
	// ReadManifest gives one that was verified.
	ReadManifest(id sdk.TesseraID) (*tessera.Manifest, error)
}

// Records are the journal's.
type Records interface {
	Records() iter.Seq2[journal.Record, error]
}

// Deps are what the index is rebuilt from, and the empty catalog it is rebuilt into.
type Deps struct {
	Catalog   *catalog.Catalog
	Store     *cas.Store
	Archive   Manifests
	Documents *sidecar.Shelf // plans and tombstones
	Journal   Records
	Owner     sdk.OwnerKey
	Log       *slog.Logger
	Now       func() time.Time
}

// Report is what was found.
type Report struct {
	Tesseras   int
	Files      int
	Plans      int
	Objects    int // files in the store, needed or not
	Fragments  int
	Records    int // of the journal
	Missing    int // needed objects that are not here
	Unreadable int // documents and records that say nothing any more
}

// Empty tells that there was nothing at all.
func (r Report) Empty() bool { return r == Report{} }

// UnderWay tells whether a catalog was begun and never filled to the end: it is not to be used.
func UnderWay(c *catalog.Catalog) (bool, error) {
	err := c.View(func(tx *catalog.Tx) error {
		_, err := tx.Meta(catalog.MetaUnfilled)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Run fills a fresh catalog. After an error, or when the process dies, the catalog says so until it is
// cleared: see UnderWay.
func Run(ctx context.Context, d Deps) (Report, error) {
	r := &run{Deps: d, lame: map[sdk.TesseraID]bool{}, told: time.Now()}
	if err := r.run(ctx); err != nil {
		return r.Report, fmt.Errorf("rebuild index: %w", err)
	}
	return r.Report, nil
}

type run struct {
	Report
	Deps
	here here                   // the objects there were when the run began
	lame map[sdk.TesseraID]bool // whose plans say nothing any more
	told time.Time              // when progress was last logged
}

func (r *run) run(ctx context.Context) error {
	begun := r.Now()
	var err error
	if r.here, err = r.list(ctx); err != nil {
		return err
	}
	r.Objects = len(r.here)
	for _, part := range []func(context.Context) error{r.manifests, r.plans, r.records, r.fragments, r.tidy} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if !r.Empty() {
		r.Log.Info("the index was rebuilt", "tesseras", r.Tesseras, "files", r.Files, "plans", r.Plans, "objects", r.Objects, "fragments", r.Fragments,
			"records", r.Records, "missing", r.Missing, "unreadable", r.Unreadable, "took", time.Since(begun).Round(time.Millisecond))
	}
	return r.Catalog.Update(func(tx *catalog.Tx) error {
		if !r.Empty() {
			if err := tx.PutMeta(metaDone, []byte(r.Now().UTC().Format(time.RFC3339))); err != nil {
				return err
			}
		}
		return tx.DropMeta(catalog.MetaUnfilled)
	})
}

// metaDone is the catalog's name for when it was rebuilt.
const metaDone = "rebuilt"

// Last tells when a catalog was rebuilt, the zero time if it never was.
func Last(c *catalog.Catalog) (at time.Time, err error) {
	err = c.View(func(tx *catalog.Tx) error {
		text, err := tx.Meta(metaDone)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err == nil {
			at, err = time.Parse(time.RFC3339, string(text))
		}
		return err
	})
	return at, err
}

// tellEvery is how often progress is logged.
const tellEvery = 5 * time.Second

func (r *run) progress(doing string) {
	if time.Since(r.told) < tellEvery {
		return
	}
	r.told = time.Now()
	r.Log.Info("rebuilding the index", "doing", doing, "tesseras", r.Tesseras, "files", r.Files, "plans", r.Plans,
		"fragments", r.Fragments, "records", r.Records)
}

// unreadable passes over what says nothing any more.
func (r *run) unreadable(what string, err error) {
	r.Unreadable++
	r.Log.Error("passed over while rebuilding the index", "what", what, "err", err)
}

// manifests brings back the own tesseras and what their files need.
func (r *run) manifests(ctx context.Context) error {
	for id, err := range r.Archive.Manifests() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		m, err := r.Archive.ReadManifest(id)
		switch {
		case err != nil:
			err = r.illegible(id, err)
		case m.Head.Owner != r.Owner:
			r.unreadable("manifest of "+id.Short(), fmt.Errorf("it is signed by %s", m.Head.Owner.Short()))
		default:
			err = r.manifest(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// illegible brings back that there is an own tessera whose manifest says nothing any more: it is damaged,
// and not gone. What its plan says of it is known still.
func (r *run) illegible(id sdk.TesseraID, why error) error {
	r.unreadable("manifest of "+id.Short(), why)
	t := catalog.Tessera{ID: id}
	if p, err := r.plan(id); err == nil && p.Owner() == r.Owner {
		head, err := p.Head()
		if err != nil {
			return err
		}
		t.Title, t.Created, t.Files, t.Bytes, t.Packed = head.Title, head.Created, head.Files, head.Bytes, p.Packed
	}
	r.Tesseras++
	return r.Catalog.Update(func(tx *catalog.Tx) error {
		if err := tx.PutTessera(t); err != nil {
			return err
		}
		return r.bad(tx, id, catalog.DocManifest, why)
	})
}

// bad notes that a document says nothing any more.
func (r *run) bad(tx *catalog.Tx, id sdk.TesseraID, kind string, why error) error {
	return tx.PutBadDocument(catalog.BadDocument{Tessera: id, Kind: kind, Found: r.Now(), Problem: why.Error()})
}

// manifest brings back one own tessera. One that was deleted gets its row alone: the archive sees the
// tombstone and ends the deletion.
func (r *run) manifest(m *tessera.Manifest) error {
	dead, err := r.buried(m.ID(), r.Owner)
	if err != nil {
		return err
	}
	if !dead {
		if err := r.files(m); err != nil {
			return err
		}
	}
	r.Tesseras++
	r.Files += m.Head.Files
	return r.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutTessera(catalog.Tessera{
			ID: m.ID(), Title: m.Head.Title, Created: m.Head.Created, Files: m.Head.Files,
			Bytes: m.Head.Bytes, Packed: tessera.PackedSize(m),
		})
	})
}

func (r *run) files(m *tessera.Manifest) error {
	id := m.ID()
	return catalog.UpdateEach(r.Catalog, m.Entries, func(tx *catalog.Tx, e tessera.Entry) error {
		if e.Folder {
			return nil
		}
		r.progress("files")
		if err := tx.AddBlobRef(catalog.BlobRef{Tessera: id, Memory: e.Hash, Name: e.Path, Hash: e.Hash, Size: e.Size}); err != nil {
			return err
		}
		here, err := r.stored(e.Hash)
		if err != nil || here {
			return err
		}
		return r.lost(tx, e.Hash)
	})
}

// lost notes that an object which is needed is not here.
func (r *run) lost(tx *catalog.Tx, h digest.Hash) error {
	return tx.PutDamage(catalog.Damage{Hash: h, Found: r.Now(), Lost: true})
}

// buried tells whether there is a tombstone of an owner for a tessera.
func (r *run) buried(id sdk.TesseraID, owner sdk.OwnerKey) (bool, error) {
	return r.Documents.Buried(id, owner, r.Log)
}

// plan reads and verifies one plan.
func (r *run) plan(id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	text, err := r.Documents.Read(id, sidecar.Plan, fragment.MaxPlan)
	if err != nil {
		return nil, err
	}
	p, err := fragment.OpenPlan(text)
	if err == nil && p.Tessera != id {
		err = fragment.ErrPlan
	}
	return p, err
}

// eachPlan gives every plan that can be read.
func (r *run) eachPlan(ctx context.Context, passOver func(id sdk.TesseraID, err error) error, use func(*fragment.FragmentPlan) error) error {
	for id, err := range r.Documents.List(sidecar.Plan) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		p, err := r.plan(id)
		if err != nil {
			err = passOver(id, err)
		} else {
			err = use(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plans brings back what sums up the plans.
func (r *run) plans(ctx context.Context) error {
	var part []catalog.PlanRow
	flush := func() error {
		defer func() { part = part[:0] }()
		return catalog.UpdateEach(r.Catalog, part, putPlan)
	}
	err := r.eachPlan(ctx, r.badPlan, func(p *fragment.FragmentPlan) error {
		own := p.Owner() == r.Owner
		dead, err := r.buried(p.Tessera, p.Owner())
		if err != nil || dead && !own {
			return err // of an own one holders are still to be told
		}
		r.Plans++
		r.progress("plans")
		part = append(part, catalog.RowOf(p, r.Owner))
		if len(part) < step {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// badPlan notes that a plan says nothing any more. Plans are read twice: it may have done so before.
func (r *run) badPlan(id sdk.TesseraID, why error) error {
	if r.lame[id] {
		return nil
	}
	r.lame[id] = true
	r.unreadable("plan of "+id.Short(), why)
	return r.Catalog.Update(func(tx *catalog.Tx) error { return r.bad(tx, id, catalog.DocPlan, why) })
}

// step is how many rows are gathered for a transaction.
const step = 1024

// putPlan writes what sums up a plan. That there is one of an own tessera tells that the owner wants it
// published, unless the journal tells otherwise.
func putPlan(tx *catalog.Tx, p catalog.PlanRow) error {
	if p.Own {
		if err := wish(tx, p.Tessera, true, false); err != nil {
			return err
		}
	}
	return tx.PutPlan(p)
}
