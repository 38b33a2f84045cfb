package legacy

import (
	"errors"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// maxManifest is the largest manifest read, in bytes.
const maxManifest = tessera.MaxHead + 256 + tessera.MaxList

// record writes the rows for what came over of a tessera. An own one that has its manifest becomes
// visible; files that its manifest names are needed under the names it gives them.
func (m *migration) record(r *References) error {
	named, err := m.adopt(r.Tessera)
	if err != nil {
		return err
	}
	err = catalog.UpdateEach(m.Catalog, r.Blobs, func(tx *catalog.Tx, b Blob) error {
		if named[b.Hash.String()] {
			return nil
		}
		err := tx.AddBlobRef(catalog.BlobRef{Tessera: r.Tessera, Memory: b.Memory, Name: b.Name, Hash: b.Hash, Size: b.Size})
		if err != nil {
			return err
		}
		return m.seen(tx, b.Hash)
	})
	if err != nil {
		return err
	}
	plan, err := m.plan(r.Tessera)
	if err != nil {
		return err
	}
	return catalog.UpdateEach(m.Catalog, r.Fragments, func(tx *catalog.Tx, f Fragment) error { return m.keep(tx, r.Tessera, plan, f) })
}

// heal takes back that objects are damaged which an old file made good.
func (m *migration) heal(came []digest.Hash) error {
	damaged := false
	err := m.Catalog.View(func(tx *catalog.Tx) (err error) {
		damaged, err = tx.AnyDamage()
		return err
	})
	if err != nil || !damaged {
		return err
	}
	return catalog.UpdateEach(m.Catalog, came, func(tx *catalog.Tx, h digest.Hash) error {
		_, err := tx.Healed(h)
		return err
	})
}

// keep writes the rows of a fragment. One of a known plan is charged to its owner; one that its plan
// does not name is nobody's.
func (m *migration) keep(tx *catalog.Tx, id sdk.TesseraID, plan *fragment.FragmentPlan, f Fragment) error {
	if !fits(plan, f.Index, f.Hash) {
		return nil
	}
	added, err := tx.AddFragment(catalog.FragmentRef{Tessera: id, Index: f.Index, Hash: f.Hash, Size: f.Size, Stored: m.Now()})
	if err == nil {
		err = m.seen(tx, f.Hash)
	}
	if err != nil || !added || plan == nil {
		return err
	}
	if _, err := tx.Plan(id); errors.Is(err, catalog.ErrNotFound) {
		if err := tx.PutPlan(catalog.RowOf(plan, m.Owner)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return ledger.Kept(tx, m.Owner, plan.Owner(), f.Size)
}

// seen tells the index of an object that is needed and has no file.
func (m *migration) seen(tx *catalog.Tx, h digest.Hash) error {
	here, err := m.Store.Contains(h)
	if err != nil || here {
		return err
	}
	return tx.PutDamage(catalog.Damage{Hash: h, Found: m.Now(), Lost: true})
}

// plan reads the plan of a tessera. One that is missing or cannot be used is nil.
func (m *migration) plan(id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	text, err := m.Documents.Read(id, sidecar.Plan, fragment.MaxPlan)
	if errors.Is(err, sidecar.ErrNotFound) || errors.Is(err, sidecar.ErrTooBig) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := fragment.OpenPlan(text)
	if err != nil || p.Tessera != id {
		m.Log.Warn("a plan cannot be used", "tessera", id.Short(), "err", err)
		return nil, nil
	}
	return p, nil
}

// buried tells whether the owner of a tessera deleted it. Who that is, its plan says; where there is none
// it can only be one's own, whose signature nobody else has. So the tombstone of somebody of whom
// nothing is known deletes nothing.
func (m *migration) buried(id sdk.TesseraID) (bool, error) {
	there, err := m.Documents.Has(id, sidecar.Tombstone)
	if err != nil || !there {
		return false, err
	}
	owner := m.Owner
	plan, err := m.plan(id)
	if err != nil {
		return false, err
	}
	if plan != nil {
		owner = plan.Owner()
	}
	return m.Documents.Buried(id, owner, m.Log)
}

// adopt makes an own tessera visible, if its manifest is here, and gives the hashes of its files.
func (m *migration) adopt(id sdk.TesseraID) (map[string]bool, error) {
	manifest, err := m.manifest(id)
	if err != nil || manifest == nil {
		return nil, err
	}
	named := map[string]bool{}
	err = catalog.UpdateEach(m.Catalog, manifest.Entries, func(tx *catalog.Tx, e tessera.Entry) error {
		if e.Folder {
			return nil
		}
		named[e.Hash.String()] = true
		return tx.AddBlobRef(catalog.BlobRef{Tessera: id, Memory: e.Hash, Name: e.Path, Hash: e.Hash, Size: e.Size})
	})
	if err != nil {
		return nil, err
	}
	return named, m.Catalog.Update(func(tx *catalog.Tx) error {
		_, err := tx.Tessera(id)
		if !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		h := manifest.Head
		return tx.PutTessera(catalog.Tessera{
			ID: id, Title: h.Title, Created: h.Created, Files: h.Files, Bytes: h.Bytes, Packed: tessera.PackedSize(manifest),
		})
	})
}

// manifest reads the manifest of an own tessera. One that is missing or not mine is nil.
func (m *migration) manifest(id sdk.TesseraID) (*tessera.Manifest, error) {
	shelf, err := sidecar.Open(m.FS, sidecar.Tesseras)
	if err != nil {
		return nil, err
	}
	doc, err := shelf.Read(id, sidecar.Manifest, maxManifest)
	if errors.Is(err, sidecar.ErrNotFound) || errors.Is(err, sidecar.ErrTooBig) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	manifest, err := tessera.ParseManifest(doc)
	if err == nil {
		err = manifest.Verify()
	}
	if err != nil || manifest.ID() != id || manifest.Head.Owner != m.Owner {
		m.Log.Warn("a manifest cannot be used", "tessera", id.Short(), "err", err)
		return nil, nil
	}
	return manifest, nil
}
