package archive

import (
	"fmt"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Mend brings back what an own tessera is known to consist of: its manifest on the disk, the references
// to its files and its row, where any of that was lost. It gives the files that are not here; from then on
// they are known to be damaged. The errors to decide on are ErrNotFound, of a tessera that is not visible,
// and ErrBusy.
func (a *Archive) Mend(m *tessera.Manifest) (missing []digest.Hash, err error) {
	id := m.ID()
	if missing, err = a.mend(id, m); err != nil {
		return nil, fmt.Errorf("mend %s: %w", id.Short(), err)
	}
	return missing, nil
}

func (a *Archive) mend(id sdk.TesseraID, m *tessera.Manifest) (missing []digest.Hash, err error) {
	if err := a.claim(id); err != nil {
		return nil, err
	}
	defer a.unclaim(id)
	if err := a.refer(m); err != nil {
		return nil, err
	}
	if missing, err = a.missing(m); err != nil { // now that nobody removes one any more
		return nil, err
	}
	if _, err := a.ReadManifest(id); err != nil {
		if err := a.manifests.Write(id, sidecar.Manifest, m.Bytes()); err != nil {
			return nil, err
		}
	}
	return missing, a.catalog.Update(func(tx *catalog.Tx) error {
		now, err := tx.Tessera(id)
		if err != nil {
			return err
		}
		mended := row(m)
		mended.WantPublished, mended.Published = now.WantPublished, now.Published
		return tx.PutTessera(mended)
	})
}

// claim claims a visible tessera.
func (a *Archive) claim(id sdk.TesseraID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.visible(id); err != nil {
		return err
	}
	if !a.claimLocked(id) {
		return ErrBusy
	}
	return nil
}

// missing writes down which files of a tessera are not here.
func (a *Archive) missing(m *tessera.Manifest) (lost []digest.Hash, err error) {
	for _, e := range m.Entries {
		if e.Folder {
			continue
		}
		here, err := a.cas.Contains(e.Hash)
		if err != nil {
			return nil, err
		}
		if !here {
			lost = append(lost, e.Hash)
		}
	}
	return lost, catalog.UpdateEach(a.catalog, lost, func(tx *catalog.Tx, h digest.Hash) error {
		return tx.PutDamage(catalog.Damage{Hash: h, Found: a.now(), Lost: true})
	})
}
