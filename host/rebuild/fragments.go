package rebuild

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/sdk"
)

// here knows which objects there are, by the first 8 bytes of their names: 8 MB for a million. Where it
// says yes, the disk is asked.
type here []uint64

func mark(h digest.Hash) uint64 { return binary.BigEndian.Uint64(h[:]) }

func (h here) perhaps(x digest.Hash) bool {
	_, found := slices.BinarySearch(h, mark(x))
	return found
}

// list lists the objects. They come in the order of their names.
func (r *run) list(ctx context.Context) (all here, err error) {
	for first := range cas.Folders {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		files, _, err := r.Store.List(byte(first))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			all = append(all, mark(f.Hash))
		}
	}
	return all, nil
}

// stored tells whether there is an object.
func (r *run) stored(h digest.Hash) (bool, error) {
	if !r.here.perhaps(h) {
		return false, nil
	}
	return r.Store.Contains(h)
}

// kept is a fragment that a plan names and whose object is here.
type kept struct {
	catalog.FragmentRef
	owner sdk.OwnerKey
}

// fragments brings back the fragments whose objects are here and which no receipt named: the process
// may have died before it wrote one.
func (r *run) fragments(ctx context.Context) error {
	var part []kept
	flush := func() error {
		defer func() { part = part[:0] }()
		return catalog.UpdateEach(r.Catalog, part, func(tx *catalog.Tx, k kept) error { return r.keep(tx, k.owner, true, k.FragmentRef) })
	}
	err := r.eachPlan(ctx, r.badPlan, func(p *fragment.FragmentPlan) error {
		dead, err := r.buried(p.Tessera, p.Owner())
		if err != nil || dead {
			return err
		}
		for i, h := range p.Fragments {
			if !r.here.perhaps(h) {
				continue
			}
			stored, err := r.Store.Version(h)
			if errors.Is(err, cas.ErrMissing) {
				continue
			}
			if err != nil {
				return err
			}
			r.progress("fragments")
			part = append(part, kept{catalog.FragmentRef{
				Tessera: p.Tessera, Index: i, Hash: h, Size: p.ShardSize(), Stored: stored.Modified(),
			}, p.Owner()})
		}
		if len(part) < step {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// tidy forgets plans that nothing asks for, and counts what there is.
func (r *run) tidy(ctx context.Context) error {
	var idle []sdk.TesseraID
	err := r.Catalog.View(func(tx *catalog.Tx) error {
		for p, err := range tx.Plans(sdk.TesseraID{}) {
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			used, err := used(tx, p.Tessera)
			if err != nil {
				return err
			}
			if !used {
				idle = append(idle, p.Tessera)
			}
		}
		for _, err := range tx.Damages() {
			if err != nil {
				return err
			}
			r.Missing++
		}
		totals, err := tx.Totals()
		r.Fragments = int(totals.Fragments)
		return err
	})
	if err != nil {
		return err
	}
	r.Report.Plans -= len(idle)
	return catalog.UpdateEach(r.Catalog, idle, func(tx *catalog.Tx, id sdk.TesseraID) error { return tx.DropPlan(id) })
}

// used tells whether a plan is that of an own tessera, of a fragment kept here, or of holders to tell
// of a deletion.
func used(tx *catalog.Tx, id sdk.TesseraID) (bool, error) {
	_, err := tx.Tessera(id)
	if err == nil || !errors.Is(err, catalog.ErrNotFound) {
		return err == nil, err
	}
	if kept, err := tx.KeepsAny(id); kept || err != nil {
		return kept, err
	}
	for _, err := range tx.HoldersOf(id) {
		return err == nil, err
	}
	return false, nil
}
