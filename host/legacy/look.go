package legacy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// read reads the document of references of a tessera.
func read(notes *sidecar.Shelf, id sdk.TesseraID) (*References, error) {
	doc, err := notes.Read(id, Extension, MaxDocument)
	if err != nil {
		return nil, err
	}
	r, err := Parse(doc)
	if err == nil && r.Tessera != id {
		err = fmt.Errorf("%w: it is that of %s", ErrFormat, r.Tessera.Short())
	}
	return r, err
}

// Noted gives the tesseras that have a document of references, ascending.
func Noted(fsys vfs.FS) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		for id, err := range sidecar.Look(fsys, Folder).List(Extension) {
			if errors.Is(err, fs.ErrNotExist) || !yield(id, err) {
				return
			}
		}
	}
}

// Unreadable names the first document of references that does not say what it should, "" where there is
// none: what it asked for is not known, and must not be taken for needless.
func Unreadable(ctx context.Context, fsys vfs.FS) (reason string, err error) {
	notes := sidecar.Look(fsys, Folder)
	for id, err := range Noted(fsys) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return "", err
		}
		if _, err := read(notes, id); err != nil {
			return fmt.Sprintf("references of %s: %v", id.Short(), err), ctx.Err()
		}
	}
	return "", nil
}

// Recalled tells whether an index knows all that the documents of references ask for, as they were when it
// was last opened.
func Recalled(c *catalog.Catalog, fsys vfs.FS) (bool, error) {
	noted, err := exists(fsys, Folder)
	if err != nil || !noted {
		return err == nil, err
	}
	err = c.View(func(tx *catalog.Tx) error {
		_, err := tx.Meta(metaNoted)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// exists tells whether there is a folder.
func exists(fsys vfs.FS, folder string) (bool, error) {
	info, err := fsys.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}
