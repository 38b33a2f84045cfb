package salvage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/legacy"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// heap is what was found, sorted by what it is.
type heap struct {
	pieces map[digest.Hash]piece // every readable file by its content
	known  map[sdk.TesseraID]*traces
	shards []Unplanned // by the names of the old layout
}

// piece is a content and one file that holds it.
type piece struct {
	path string
	size int64
}

// traces is what was found of a tessera.
type traces struct {
	manifest *tessera.Manifest
	plans    []*fragment.FragmentPlan // verified; more than one says that the owner contradicted itself
	tombs    []*tessera.Tombstone
	old      []oldFile
}

// oldFile is a file of a memory in the old layout, or of a document of references.
type oldFile struct {
	memory digest.Hash
	name   string
	hash   digest.Hash
}

func newHeap() *heap {
	return &heap{pieces: map[digest.Hash]piece{}, known: map[sdk.TesseraID]*traces{}}
}

// of gives the traces of a tessera, to be added to.
func (h *heap) of(id sdk.TesseraID) *traces {
	if h.known[id] == nil {
		h.known[id] = &traces{}
	}
	return h.known[id]
}

// tesseras lists all that is known, by id.
func (h *heap) tesseras() []sdk.TesseraID {
	var ids []sdk.TesseraID
	for id := range h.known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// readers is how many files are read at the same time.
const readers = 2

// maxDocument is the size from which on a file is no document.
const maxDocument = tessera.MaxHead + tessera.MaxList + 4096

// sift reads all files of the folders.
func (s *salvager) sift(ctx context.Context, folders []string) error {
	var mu sync.Mutex // guards heap and report
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				mu.Lock()
				defer mu.Unlock()
				s.damaged(path, err)
				return nil
			case e.IsDir() && path != folder && skipped(path):
				return filepath.SkipDir
			case !e.Type().IsRegular():
				return nil
			}
			g.Go(func() error { return s.read(ctx, &mu, folder, path) })
			return nil
		})
		if err != nil {
			return errors.Join(err, g.Wait())
		}
	}
	return g.Wait()
}

// skipped tells that a folder holds nothing to save: the index and keys of a data directory.
func skipped(path string) bool {
	switch filepath.Base(path) {
	case "index":
		_, err := os.Stat(filepath.Join(path, "MANIFEST"))
		return err == nil
	case "identity":
		return true
	}
	return false
}

func (s *salvager) damaged(path string, err error) {
	s.report.Damaged = append(s.report.Damaged, Damaged{path, err.Error()})
}

// read hashes a file and keeps what it is.
func (s *salvager) read(ctx context.Context, mu *sync.Mutex, folder, path string) error {
	hash, size, text, err := hashFile(ctx, path)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	mu.Lock()
	defer mu.Unlock()
	s.report.Files++
	s.report.Bytes += size
	if s.Progress != nil {
		s.Progress(s.report.Bytes)
	}
	if err != nil {
		s.damaged(path, err)
		return nil
	}
	if name, ok := strings.CutSuffix(filepath.Base(path), ".blob"); ok {
		if want, err := digest.Parse(name); err == nil && want != hash {
			s.damaged(path, fmt.Errorf("it holds %d bytes that are not those of its name", size))
		}
	}
	if _, ok := s.heap.pieces[hash]; !ok {
		s.heap.pieces[hash] = piece{path, size}
	}
	if err := s.heap.document(text); err != nil {
		s.damaged(path, err)
	}
	s.heap.oldName(folder, path, hash)
	return nil
}

// hashFile reads a file once. text is its content where it may be a document.
func hashFile(ctx context.Context, path string) (h digest.Hash, size int64, text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return h, 0, nil, err
	}
	hash := digest.New()
	buf := make([]byte, min(info.Size()+1, 512<<10))
	for {
		if err := ctx.Err(); err != nil {
			return h, size, nil, err
		}
		n, err := f.Read(buf)
		hash.Write(buf[:n])
		if size == 0 && isDocument(buf[:n]) || len(text) > 0 && len(text)+n <= maxDocument {
			text = append(text, buf[:n]...)
		}
		size += int64(n)
		if err == io.EOF {
			return hash.Sum(), size, text, nil
		}
		if err != nil {
			return h, size, nil, err
		}
	}
}

// The first words of the documents that are of use here.
var documents = []string{"tesseras head ", "tesseras plan ", "tesseras tombstone ", "tesseras references "}

func isDocument(b []byte) bool {
	return slices.ContainsFunc(documents, func(first string) bool { return bytes.HasPrefix(b, []byte(first)) })
}

// document keeps what a document says, if it is one and is true.
func (h *heap) document(text []byte) (err error) {
	switch {
	case bytes.HasPrefix(text, []byte("tesseras plan ")):
		plan, err := fragment.OpenPlan(text)
		if err != nil {
			return err
		}
		t := h.of(plan.Tessera)
		if !slices.ContainsFunc(t.plans, func(p *fragment.FragmentPlan) bool { return bytes.Equal(p.Bytes(), text) }) {
			t.plans = append(t.plans, plan)
		}
	case bytes.HasPrefix(text, []byte("tesseras tombstone ")):
		tomb, err := tessera.ParseTombstone(text)
		if err == nil {
			err = tomb.Verify(tomb.Owner)
		}
		if err != nil {
			return err
		}
		h.of(tomb.Tessera).tombs = append(h.of(tomb.Tessera).tombs, tomb)
	case bytes.HasPrefix(text, []byte("tesseras references ")):
		refs, err := legacy.Parse(text)
		if err != nil {
			return err
		}
		h.references(refs)
	case bytes.HasPrefix(text, []byte("tesseras head ")) && bytes.Contains(text, []byte("\ntesseras files ")):
		m, err := tessera.ParseManifest(text)
		if err == nil {
			err = m.Verify()
		}
		if err != nil {
			return err
		}
		h.of(m.ID()).manifest = m
	}
	return nil
}

// references keeps what a migration wrote down.
func (h *heap) references(r *legacy.References) {
	t := h.of(r.Tessera)
	for _, b := range r.Blobs {
		t.old = append(t.old, oldFile{b.Memory, b.Name, b.Hash})
	}
	for _, f := range r.Fragments {
		h.shards = append(h.shards, Unplanned{Tessera: r.Tessera, Index: f.Index, Path: "objects/" + f.Hash.String()[:2] + "/" + f.Hash.String() + ".blob"})
	}
}

// oldName keeps what the path of a file says in the old layout.
func (h *heap) oldName(folder, path string, hash digest.Hash) {
	rel, err := filepath.Rel(folder, path)
	if err != nil {
		return
	}
	parts := strings.Split(filepath.ToSlash(rel), "/")
	for i, part := range parts {
		rest := parts[i+1:]
		switch {
		case part == legacy.BlobsFolder && len(rest) >= 3:
			id, err := sdk.ParseTesseraID(rest[0])
			memory, memoryErr := digest.Parse(rest[1])
			if err == nil && memoryErr == nil {
				h.of(id).old = append(h.of(id).old, oldFile{memory, strings.Join(rest[2:], "/"), hash})
			}
		case part == legacy.FragmentsFolder && len(rest) == 2:
			id, err := sdk.ParseTesseraID(rest[0])
			digits, ok := strings.CutSuffix(rest[1], legacy.ShardExtension)
			index, indexErr := strconv.Atoi(digits)
			if err == nil && ok && indexErr == nil {
				h.of(id)
				h.shards = append(h.shards, Unplanned{id, index, path})
			}
		}
	}
}
