// Package sidecar answers: how does a small document, named by a tessera's id, get onto the disk and
// back?
//
// Manifests, plans and tombstones are such documents. They lie beside the index, plain, so that the
// index can be thrown away: <folder>/<2 hex>/<64 hex>.<extension>. This package moves bytes; what they
// say, and whether it is true, is for those who own the documents. Tombstones alone are read here,
// because everybody asks the same of them: see Shelf.Buried.
package sidecar

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync/atomic"

	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// The documents of a node by folder and extension.
const (
	Tesseras  = "tesseras"
	Plans     = "plans"
	Manifest  = ".tessera"
	Plan      = ".plan"
	Tombstone = ".tomb"
)

var (
	// ErrNotFound tells that there is no such document.
	ErrNotFound = errors.New("no such document")
	// ErrTooBig tells that a document is larger than the reader wants it to be.
	ErrTooBig = errors.New("document is too big")
)

// Shelf is a folder of documents. All its methods may be called at the same time; of two writes of one
// document the last to finish stays, whole.
type Shelf struct {
	fs     vfs.FS
	folder string
	run    string // makes the temporary names of this process its own
	seq    atomic.Uint64
}

// Open opens the documents of a folder, making it where it is missing, and clears temporary files an
// earlier process left. The caller sees to it that no other process uses the folder.
func Open(fsys vfs.FS, folder string) (*Shelf, error) {
	s := &Shelf{fs: fsys, folder: folder, run: rand.Text()[:8]}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open documents in %s: %w", folder, err)
	}
	return s, nil
}

// Look gives the documents of a folder, which need not be there, for reading alone: nothing is made or
// cleared.
func Look(fsys vfs.FS, folder string) *Shelf { return &Shelf{fs: fsys, folder: folder} }

func (s *Shelf) prepare() error {
	if err := s.fs.MkdirAll(s.tmp()); err != nil {
		return err
	}
	left, err := s.fs.ReadDir(s.tmp())
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := s.fs.Remove(s.tmp() + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.Join(s.fs.SyncDir(s.folder), s.fs.SyncDir("."))
}

func (s *Shelf) tmp() string { return s.folder + "/tmp" }

// parent is the folder of a document.
func (s *Shelf) parent(id sdk.TesseraID) string { return s.folder + "/" + id.String()[:2] }

// Path is where a document lies, relative to the root of the file system.
func (s *Shelf) Path(id sdk.TesseraID, ext string) string {
	return s.parent(id) + "/" + id.String() + ext
}

// Write writes a document, replacing the one of the same name in one step. It is on stable storage
// when Write returns.
func (s *Shelf) Write(id sdk.TesseraID, ext string, doc []byte) error {
	if err := s.write(id, ext, doc); err != nil {
		return fmt.Errorf("write %s: %w", s.Path(id, ext), err)
	}
	return nil
}

func (s *Shelf) write(id sdk.TesseraID, ext string, doc []byte) error {
	temp := fmt.Sprintf("%s/%s-%d", s.tmp(), s.run, s.seq.Add(1))
	if err := s.writeTemp(temp, doc); err != nil {
		return err
	}
	err := s.fs.MkdirAll(s.parent(id))
	if err == nil {
		err = s.fs.Rename(temp, s.Path(id, ext))
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(temp))
	}
	if err := s.fs.SyncDir(s.parent(id)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.folder)
}

// writeTemp writes and syncs a new file, and leaves none behind when it fails.
func (s *Shelf) writeTemp(name string, doc []byte) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(doc)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, s.fs.Remove(name))
	}
	return nil
}

// Read reads a document of at most limit bytes. The errors to decide on are ErrNotFound and ErrTooBig.
func (s *Shelf) Read(id sdk.TesseraID, ext string, limit int64) ([]byte, error) {
	doc, err := s.read(s.Path(id, ext), limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.Path(id, ext), err)
	}
	return doc, nil
}

func (s *Shelf) read(path string, limit int64) ([]byte, error) {
	f, err := s.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooBig, info.Size())
	}
	doc := make([]byte, info.Size())
	_, err = io.ReadFull(f, doc)
	return doc, err
}

// Has tells whether there is a document.
func (s *Shelf) Has(id sdk.TesseraID, ext string) (bool, error) {
	_, err := s.fs.Stat(s.Path(id, ext))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Remove removes a document, durably. One that is not there is no error; that it is not is durable then too,
// for whoever removed it may have failed behind that.
func (s *Shelf) Remove(id sdk.TesseraID, ext string) error {
	err := s.fs.Remove(s.Path(id, ext))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.fs.SyncDir(s.parent(id))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", s.Path(id, ext), err)
	}
	return nil
}

// List gives the ids of all documents of an extension, ascending.
func (s *Shelf) List(ext string) iter.Seq2[sdk.TesseraID, error] {
	return func(yield func(sdk.TesseraID, error) bool) {
		tops, err := s.fs.ReadDir(s.folder)
		if err != nil {
			yield(sdk.TesseraID{}, fmt.Errorf("list %s: %w", s.folder, err))
			return
		}
		for _, top := range tops {
			if top.IsDir() && len(top.Name()) == 2 && !s.list(top.Name(), ext, yield) {
				return
			}
		}
	}
}

// list gives the documents of one folder, and whether to go on.
func (s *Shelf) list(top, ext string, yield func(sdk.TesseraID, error) bool) bool {
	entries, err := s.fs.ReadDir(s.folder + "/" + top)
	if err != nil {
		return yield(sdk.TesseraID{}, fmt.Errorf("list %s/%s: %w", s.folder, top, err))
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ext)
		id, err := sdk.ParseTesseraID(name)
		if !ok || err != nil || !strings.HasPrefix(name, top) {
			continue
		}
		if !yield(id, nil) {
			return false
		}
	}
	return true
}
