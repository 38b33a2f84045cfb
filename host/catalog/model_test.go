package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// The sizes of TestNeededObjectsStay, in operations.
var (
	modelSize     = suite.ModelIndex
	modelDiskSize = suite.ModelIndexDisk
)

const (
	modelWorkers  = 4
	modelContents = 24
	modelRounds   = 20 // comparisons of the whole
)

// TestNeededObjectsStay has several workers put, refer, release and collect the same few contents at the
// same time. No object that anybody needs is ever missing or wrong; and whenever they pause, each count
// is the number of references outstanding, and nothing else is on the disk.
func TestNeededObjectsStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		size suite.Size
		open func() (*catalog.Catalog, error)
	}{
		{"memory", modelSize, func() (*catalog.Catalog, error) { return catalog.OpenMemory(catalog.Options{}) }},
		{"disk", modelDiskSize, func() (*catalog.Catalog, error) {
			return catalog.Open(filepath.Join(t.TempDir(), "index"), catalog.Options{Ballast: -1})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := suite.Seed(t)
			rows, err := c.open()
			must(t, err)
			defer rows.Close()
			w := newWorld(t, rows)
			for round := range modelRounds {
				w.round(seed+uint64(round), (c.size.Cases()+modelRounds*modelWorkers-1)/(modelRounds*modelWorkers))
				if t.Failed() {
					return
				}
				w.compare()
			}
			c.size.Executed(t, w.operations(), "operations of "+fmt.Sprint(modelWorkers)+" at a time")
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a store, its index and those who use them.
type world struct {
	t       *testing.T
	disk    *crashfs.FS
	store   *cas.Store
	rows    *catalog.Catalog
	workers []*worker
}

func newWorld(t *testing.T, rows *catalog.Catalog) *world {
	t.Helper()
	w := &world{t: t, disk: crashfs.New(crashfs.Options{}), rows: rows}
	var err error
	w.store, err = cas.New(w.disk, cas.Config{})
	must(t, err)
	for i := range modelWorkers {
		w.workers = append(w.workers, &worker{world: w, id: sdk.TesseraID{byte(i + 1)}, fragments: map[int]int{}, blobs: map[string]int{}})
	}
	return w
}

// round lets every worker do so many operations.
func (w *world) round(seed uint64, steps int) {
	var g sync.WaitGroup
	for i, k := range w.workers {
		k.rnd = rand.New(rand.NewPCG(seed, uint64(i)))
		g.Go(func() {
			for range steps {
				if err := k.step(); err != nil {
					w.t.Errorf("operation %d of worker %d: %v", k.done, i, err)
				}
				if k.done++; w.t.Failed() {
					return
				}
			}
		})
	}
	g.Wait()
}

func (w *world) operations() (n int) {
	for _, k := range w.workers {
		n += k.done
	}
	return n
}

// compare compares counts, rows and files with the references that are outstanding.
func (w *world) compare() {
	w.t.Helper()
	_, err := w.rows.Collect(context.Background(), w.store)
	must(w.t, err)
	files := map[string]bool{}
	for _, name := range w.disk.Files() {
		files[name] = true
	}
	for i := range modelContents {
		want := 0
		for _, k := range w.workers {
			want += k.outstanding(i)
		}
		h := digest.Of(content(i))
		must(w.t, w.rows.View(func(tx *catalog.Tx) error {
			n, err := tx.RefCount(h)
			if err != nil || n != want {
				w.t.Errorf("object %d has %d references, %d are outstanding: %v", i, n, want, err)
			}
			if _, err := tx.Object(h); want > 0 && err != nil || want == 0 && !errors.Is(err, catalog.ErrNotFound) {
				w.t.Errorf("the row of object %d with %d references: %v", i, want, err)
			}
			return nil
		}))
		if want > 0 {
			must(w.t, reads(w.store, i))
		}
		if files[cas.Path(h)] && want == 0 && !w.orphaned(i) {
			w.t.Errorf("object %d is not needed and still there", i)
		}
		delete(files, cas.Path(h))
	}
	for name := range files {
		w.t.Errorf("nobody knows %s", name)
	}
}

// orphaned tells whether somebody put a content and gave it up, and removes its file.
func (w *world) orphaned(i int) bool {
	for _, k := range w.workers {
		if k.gaveUp[i] {
			_, err := w.store.Remove(digest.Of(content(i)), func() (bool, error) { return w.rows.Needed(digest.Of(content(i))) })
			return err == nil
		}
	}
	return false
}

// content is what the object of a number holds.
func content(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1+i*151) }

// worker has two tesseras' worth of references of its own.
type worker struct {
	*world
	id        sdk.TesseraID
	rnd       *rand.Rand
	fragments map[int]int    // content by index
	blobs     map[string]int // content by name
	gaveUp    [modelContents]bool
	done      int
}

func (k *worker) outstanding(i int) (n int) {
	for _, c := range k.fragments {
		n += btoi(c == i)
	}
	for _, c := range k.blobs {
		n += btoi(c == i)
	}
	return n
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (k *worker) step() error {
	switch k.rnd.IntN(12) {
	case 0, 1, 2:
		return k.addFragment()
	case 3:
		return k.addBlobs()
	case 4, 5, 6:
		return k.dropFragment()
	case 7:
		return k.dropBlobs()
	case 8:
		return k.giveUp()
	}
	for _, i := range k.fragments {
		return reads(k.store, i)
	}
	return nil
}

// stage puts a content and checks that it lies where its hash says.
func (k *worker) stage(i int) (cas.Object, error) {
	h := digest.Of(content(i))
	hint := &h
	if k.rnd.IntN(2) == 0 {
		hint = nil
	}
	o, err := k.store.Stage(context.Background(), bytes.NewReader(content(i)), hint)
	if err == nil && (o.Hash != h || cas.Path(o.Hash) != cas.Path(h)) {
		err = fmt.Errorf("content %d is object %s", i, o.Hash)
	}
	return o, err
}

func (k *worker) addFragment() error {
	i, index := k.rnd.IntN(modelContents), k.rnd.IntN(12)
	if _, taken := k.fragments[index]; taken {
		return reads(k.store, k.fragments[index])
	}
	o, err := k.stage(i)
	if err != nil {
		return err
	}
	defer k.store.Unpin(o.Hash)
	err = k.rows.Update(func(tx *catalog.Tx) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: k.id, Index: index, Hash: o.Hash, Size: o.Size})
		return err
	})
	if err == nil {
		k.fragments[index] = i
	}
	return err
}

// addBlobs refers to some contents that come in one batch.
func (k *worker) addBlobs() error {
	b := k.store.Batch()
	defer b.Close()
	refs := map[string]int{}
	for n := range 1 + k.rnd.IntN(3) {
		i := k.rnd.IntN(modelContents)
		if _, err := b.Stage(context.Background(), bytes.NewReader(content(i))); err != nil {
			return err
		}
		refs[fmt.Sprint("file ", i, n)] = i
	}
	if err := b.Sync(); err != nil {
		return err
	}
	err := k.rows.Update(func(tx *catalog.Tx) error {
		for name, i := range refs {
			h := digest.Of(content(i))
			if err := tx.AddBlobRef(catalog.BlobRef{Tessera: k.id, Memory: h, Name: name, Hash: h, Size: int64(len(content(i)))}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		for name, i := range refs {
			k.blobs[name] = i
		}
	}
	return err
}

func (k *worker) dropFragment() error {
	for index := range k.fragments {
		err := k.rows.Update(func(tx *catalog.Tx) error {
			_, err := tx.DropFragment(k.id, index)
			return err
		})
		if err != nil {
			return err
		}
		delete(k.fragments, index)
		_, err = k.rows.Collect(context.Background(), k.store)
		return err
	}
	return nil
}

func (k *worker) dropBlobs() error {
	for more := true; more; {
		err := k.rows.Update(func(tx *catalog.Tx) (err error) {
			_, more, err = tx.DropBlobRefs(k.id, 3)
			return err
		})
		if err != nil {
			return err
		}
	}
	clear(k.blobs)
	_, err := k.rows.Collect(context.Background(), k.store)
	return err
}

// giveUp puts a content and does not record a need for it.
func (k *worker) giveUp() error {
	i := k.rnd.IntN(modelContents)
	o, err := k.stage(i)
	if err != nil {
		return err
	}
	k.store.Unpin(o.Hash)
	if k.rnd.IntN(2) == 0 {
		k.gaveUp[i] = true
		return nil
	}
	_, err = k.store.Remove(o.Hash, func() (bool, error) { return k.rows.Needed(o.Hash) })
	return err
}

// reads tells what is wrong with an object.
func reads(s *cas.Store, i int) error {
	r, err := s.Open(digest.Of(content(i)), int64(len(content(i))))
	if err != nil {
		return fmt.Errorf("needed: %w", err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content(i)) {
		err = fmt.Errorf("object %d gives other bytes", i)
	}
	return err
}
