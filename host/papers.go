package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/heal"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/scrub"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// papers are the documents beside the objects as the scrub wants to see them.
type papers struct{ *store }

var _ scrub.Documents = papers{}

// sheet is one kind of document.
type sheet struct {
	kind string
	// ids lists the documents on the disk.
	ids iter.Seq2[sdk.TesseraID, error]
	// read reads and verifies one, and gives its size in bytes.
	read func(sdk.TesseraID) (int64, error)
	// due lists the documents that there must be; nil where there is nothing that says so.
	due func(*catalog.Tx) iter.Seq2[sdk.TesseraID, error]
}

func (p papers) sheets() []sheet {
	notes := sidecar.Look(p.dir, legacy.Folder)
	return []sheet{
		{catalog.DocManifest, p.archive.Manifests(), p.manifest, ownTesseras},
		{catalog.DocPlan, p.documents.shelf.List(sidecar.Plan), p.plan, plannedTesseras},
		{catalog.DocTombstone, p.documents.shelf.List(sidecar.Tombstone), p.tombstone, nil},
		{catalog.DocReferences, notes.List(legacy.Extension), func(id sdk.TesseraID) (int64, error) { return references(notes, id) }, nil},
	}
}

// All implements scrub.Documents.
func (p papers) All(ctx context.Context) iter.Seq2[scrub.Document, error] {
	return func(yield func(scrub.Document, error) bool) {
		for _, s := range p.sheets() {
			if !p.each(ctx, s, yield) {
				return
			}
		}
		yield(p.records(ctx))
	}
}

// each gives the documents of one kind, those that are missing last, and whether to go on.
func (p papers) each(ctx context.Context, s sheet, yield func(scrub.Document, error) bool) bool {
	for id, err := range s.ids {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return errors.Is(err, fs.ErrNotExist) || yield(scrub.Document{}, err)
		}
		d := scrub.Document{Tessera: id, Kind: s.kind}
		if d.Bytes, d.Problem = s.read(id); d.Problem != nil {
			d.Bytes, d.Problem = s.read(id) // memory errs too
		}
		if errors.Is(d.Problem, sidecar.ErrNotFound) {
			continue // it went meanwhile; where it should not have it is among the missing
		}
		if !yield(d, nil) {
			return false
		}
	}
	missing, err := p.missing(s)
	if err != nil {
		return yield(scrub.Document{}, err)
	}
	for _, id := range missing {
		if !yield(scrub.Document{Tessera: id, Kind: s.kind, Problem: fmt.Errorf("%s: %w", id.Short(), sidecar.ErrNotFound)}, nil) {
			return false
		}
	}
	return true
}

// missing lists the documents of a kind that there must be and that are not there. Those of a tessera that
// was deleted may be on their way out.
func (p papers) missing(s sheet) (ids []sdk.TesseraID, err error) {
	if s.due == nil {
		return nil, nil
	}
	return ids, p.catalog.View(func(tx *catalog.Tx) error {
		for id, err := range s.due(tx) {
			if err != nil {
				return err
			}
			there, err := p.isThere(s.kind, id)
			if err != nil {
				return err
			}
			if !there {
				ids = append(ids, id)
			}
		}
		return nil
	})
}

// isThere tells whether there is a document, or a tombstone in its place.
func (p papers) isThere(kind string, id sdk.TesseraID) (bool, error) {
	shelf, ext := p.documents.shelf, sidecar.Plan
	if kind == catalog.DocManifest {
		shelf, ext = sidecar.Look(p.dir, sidecar.Tesseras), sidecar.Manifest
	}
	there, err := shelf.Has(id, ext)
	if err != nil || there {
		return there, err
	}
	return p.documents.shelf.Has(id, sidecar.Tombstone)
}

func ownTesseras(tx *catalog.Tx) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		for t, err := range tx.Tesseras() {
			if !yield(t.ID, err) {
				return
			}
		}
	}
}

func plannedTesseras(tx *catalog.Tx) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		for p, err := range tx.Plans(sdk.TesseraID{}) {
			if !yield(p.Tessera, err) {
				return
			}
		}
	}
}

func (p papers) manifest(id sdk.TesseraID) (int64, error) {
	m, err := p.archive.ReadManifest(id)
	if err != nil {
		return 0, err
	}
	return int64(len(m.HeadBytes) + len(m.ListBytes)), nil
}

func (p papers) plan(id sdk.TesseraID) (int64, error) {
	text, err := p.documents.shelf.Read(id, sidecar.Plan, fragment.MaxPlan)
	if err != nil {
		return 0, err
	}
	_, err = planOf(id, text)
	return int64(len(text)), err
}

// planOf parses and verifies the plan of a tessera.
func planOf(id sdk.TesseraID, text []byte) (*fragment.FragmentPlan, error) {
	plan, err := fragment.OpenPlan(text)
	if err == nil && plan.Tessera != id {
		err = fmt.Errorf("%w: it is that of %s", fragment.ErrPlan, plan.Tessera.Short())
	}
	return plan, err
}

// tombstone verifies a tombstone against the key that it names: whose that is the plan says, which may be
// gone by now.
func (p papers) tombstone(id sdk.TesseraID) (int64, error) {
	text, err := p.documents.shelf.Read(id, sidecar.Tombstone, sidecar.MaxTombstone)
	if err != nil {
		return 0, err
	}
	t, err := tessera.TombstoneOf(id, text)
	if err == nil {
		err = t.Verify(t.Owner)
	}
	return int64(len(text)), err
}

// references verifies what is known of the layout before this one.
func references(notes *sidecar.Shelf, id sdk.TesseraID) (int64, error) {
	text, err := notes.Read(id, legacy.Extension, legacy.MaxDocument)
	if err != nil {
		return 0, err
	}
	r, err := legacy.Parse(text)
	if err == nil && r.Tessera != id {
		err = tessera.ErrOtherTessera
	}
	return int64(len(text)), err
}

// records walks the journal. All that is damaged of it is one document.
func (p papers) records(ctx context.Context) (scrub.Document, error) {
	d := scrub.Document{Kind: catalog.DocJournal}
	for r, err := range p.journal.Records() {
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if err != nil && d.Problem == nil {
			d.Problem = err
		}
		if err != nil && !errors.Is(err, journal.ErrDamaged) {
			break // it is not read beyond this
		}
		d.Bytes += int64(len(r.Payload))
	}
	return d, nil
}

// Restored implements scrub.Documents.
func (p papers) Restored(_ context.Context, d scrub.Document) error {
	switch d.Kind {
	case catalog.DocManifest:
		m, err := p.archive.ReadManifest(d.Tessera)
		if err == nil {
			_, err = p.archive.Mend(m)
		}
		if errors.Is(err, archive.ErrNotFound) {
			return nil // it was deleted meanwhile
		}
		return err
	case catalog.DocPlan:
		text, err := p.documents.Plan(d.Tessera)
		if err != nil {
			return err
		}
		plan, err := planOf(d.Tessera, text)
		if err != nil {
			return err
		}
		return p.enter(plan)
	}
	return nil
}

// enter puts a plan into the index, which may have been built without it.
func (s *store) enter(plan *fragment.FragmentPlan) error {
	return s.catalog.Update(func(tx *catalog.Tx) error {
		if _, err := tx.Plan(plan.Tessera); !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		return tx.PutPlan(catalog.RowOf(plan, s.id.Owner.Key()))
	})
}

// archivist brings documents back, from peers where it must.
type archivist struct{ *Node }

var _ heal.Documents = archivist{}

// FetchPlan implements heal.Documents.
func (a archivist) FetchPlan(ctx context.Context, id sdk.TesseraID) error {
	plan, err := a.restorer.Plan(ctx, id)
	if err != nil {
		return err
	}
	if err := a.documents.PutPlan(id, plan.Bytes()); err != nil {
		return err
	}
	return a.enter(plan)
}

// KeepManifest implements heal.Documents.
func (a archivist) KeepManifest(m *tessera.Manifest) ([]digest.Hash, error) { return a.archive.Mend(m) }
