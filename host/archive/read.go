package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// List gives the tesseras that are visible, in order of their ids.
func (a *Archive) List() (all []catalog.Tessera, err error) {
	err = a.catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			all = append(all, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tesseras: %w", err)
	}
	return all, nil
}

// Get gives what the catalog knows of a tessera, or ErrNotFound.
func (a *Archive) Get(id sdk.TesseraID) (t catalog.Tessera, err error) {
	err = a.catalog.View(func(tx *catalog.Tx) error {
		t, err = tx.Tessera(id)
		return err
	})
	return t, a.known(err)
}

// Resolve finds the tessera whose id starts with some digits, at least MinPrefix of them. The errors
// to decide on are ErrNotFound, ErrAmbiguous and ErrShortPrefix.
func (a *Archive) Resolve(prefix string) (t catalog.Tessera, err error) {
	if len(prefix) < MinPrefix {
		return t, fmt.Errorf("%q: %w", prefix, ErrShortPrefix)
	}
	err = a.catalog.View(func(tx *catalog.Tx) error {
		t, err = tx.TesseraByPrefix(prefix)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("%.70q: %w", prefix, a.known(err))
	}
	return t, nil
}

// known puts the catalog's sentinels into this package's terms.
func (a *Archive) known(err error) error {
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, catalog.ErrAmbiguous):
		return ErrAmbiguous
	}
	return err
}

// Show gives the manifest of the tessera whose id starts with some digits. See Resolve and Manifest.
func (a *Archive) Show(prefix string) (*tessera.Manifest, error) {
	t, err := a.Resolve(prefix)
	if err != nil {
		return nil, err
	}
	return a.Manifest(t.ID)
}

// Manifest reads the manifest of a visible tessera and checks that it is the one its owner signed under
// this id. The errors to decide on are ErrNotFound and ErrDamaged.
func (a *Archive) Manifest(id sdk.TesseraID) (*tessera.Manifest, error) {
	if err := a.visible(id); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", id.Short(), err)
	}
	return a.ReadManifest(id)
}

// Manifests gives the ids of the manifests on this disk, visible or not, ascending.
func (a *Archive) Manifests() iter.Seq2[sdk.TesseraID, error] {
	return a.manifests.List(sidecar.Manifest)
}

// ReadManifest is Manifest for a tessera that may not be visible.
func (a *Archive) ReadManifest(id sdk.TesseraID) (*tessera.Manifest, error) {
	doc, err := a.manifests.Read(id, sidecar.Manifest, maxManifest)
	if errors.Is(err, sidecar.ErrNotFound) || errors.Is(err, sidecar.ErrTooBig) {
		return nil, fmt.Errorf("manifest of %s: %w: %w", id.Short(), ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	m, err := tessera.ParseManifest(doc)
	if err == nil {
		err = m.Verify()
	}
	if err == nil && m.ID() != id {
		err = tessera.ErrOtherTessera
	}
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w: %w", id.Short(), ErrDamaged, err)
	}
	return m, nil
}

// Pack streams a tessera as its packed tar. It checks every byte on the way; a file that is not what it was
// is ErrDamaged, a *tessera.FileError names it, and what was written is worth nothing then.
func (a *Archive) Pack(ctx context.Context, id sdk.TesseraID, w io.Writer) error {
	m, err := a.Manifest(id)
	if err != nil {
		return err
	}
	err = tessera.Pack(ctx, w, m, func(e tessera.Entry) (io.ReadCloser, error) {
		return a.cas.OpenAt(e.Hash, e.Size) // Pack checks the hash
	})
	return damage(err)
}

// OpenFile opens a file of a tessera. The reader checks what it reads and ends with an error unless it
// is what the manifest names; nobody may keep what it read before io.EOF.
func (a *Archive) OpenFile(id sdk.TesseraID, path string) (*cas.Reader, tessera.Entry, error) {
	m, err := a.Manifest(id)
	if err != nil {
		return nil, tessera.Entry{}, err
	}
	i, found := slices.BinarySearchFunc(m.Entries, path, func(e tessera.Entry, path string) int {
		return strings.Compare(e.Path, path)
	})
	if !found || m.Entries[i].Folder {
		return nil, tessera.Entry{}, fmt.Errorf("%q: %w", path, ErrNoFile)
	}
	r, err := a.cas.Open(m.Entries[i].Hash, m.Entries[i].Size)
	if err != nil {
		return nil, tessera.Entry{}, fmt.Errorf("%q: %w", path, damage(err))
	}
	return r, m.Entries[i], nil
}

// damage marks what is said about a bad object as ErrDamaged.
func damage(err error) error {
	if errors.Is(err, cas.ErrMissing) || errors.Is(err, cas.ErrDamaged) || errors.Is(err, digest.ErrMismatch) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
