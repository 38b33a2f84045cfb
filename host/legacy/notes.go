package legacy

import (
	"errors"
	"slices"
	"sync"

	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// Notes keeps the documents of references true while a node runs. Its methods may be called at the same time,
// but not beside Open.
type Notes struct {
	fs vfs.FS
	mu sync.Mutex // held while a document is written
}

// NewNotes gives the documents of a data directory, which need not have any.
func NewNotes(fsys vfs.FS) *Notes { return &Notes{fs: fsys} }

// GiveUp strikes fragments of a tessera out of its document, all of them where no index is given: an index
// that is rebuilt must not ask for them again. It is durable when GiveUp returns. A document that cannot be
// read asks for nothing, and stays as it is.
func (n *Notes) GiveUp(id sdk.TesseraID, indexes ...int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if there, err := sidecar.Look(n.fs, Folder).Has(id, Extension); err != nil || !there {
		return err
	}
	shelf, err := sidecar.Open(n.fs, Folder)
	if err != nil {
		return err
	}
	r, err := read(shelf, id)
	if errors.Is(err, ErrFormat) || errors.Is(err, sidecar.ErrTooBig) {
		return nil
	}
	if err != nil {
		return err
	}
	before := len(r.Fragments)
	r.Fragments = slices.DeleteFunc(r.Fragments, func(f Fragment) bool {
		return len(indexes) == 0 || slices.Contains(indexes, f.Index)
	})
	switch {
	case len(r.Fragments) == before:
		return nil
	case len(r.Fragments)+len(r.Blobs) == 0:
		return shelf.Remove(id, Extension)
	}
	return shelf.Write(id, Extension, r.Bytes())
}
