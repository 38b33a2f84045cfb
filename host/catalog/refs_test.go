package catalog

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/digest"
)

// holding is one outstanding reference of the model.
type holding struct {
	tessera  byte
	fragment bool
	name     string // of the file
	index    int    // of the fragment
}

// TestCountEqualsOutstandingReferences drives random operations and compares, after each, the count
// of every object with the references that are outstanding.
func TestCountEqualsOutstandingReferences(t *testing.T) {
	operations := 0
	rapid.Check(t, func(rt *rapid.T) {
		c, err := OpenMemory(Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		files := onDisk{}
		model := map[holding]byte{}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) { operations++; addReference(rt, c, files, model) },
			"drop fragment": func(rt *rapid.T) {
				operations++
				dropFragment(rt, c, model)
			},
			"drop tessera": func(rt *rapid.T) { operations++; dropTessera(rt, c, model) },
			"collect": func(rt *rapid.T) {
				operations++
				if _, err := c.Collect(context.Background(), files); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) { compareCounts(rt, c, files, model) },
		})
	})
	t.Logf("%d operations", operations)
}

// onDisk is an object store that is a set of hashes.
type onDisk map[digest.Hash]bool

func (d onDisk) RemoveAll(hashes []digest.Hash, needed func(digest.Hash) (bool, error)) (gone []digest.Hash, err error) {
	for _, h := range hashes {
		yes, err := needed(h)
		if err != nil {
			return nil, err
		}
		if !yes {
			delete(d, h)
			gone = append(gone, h)
		}
	}
	return gone, nil
}

func (d onDisk) TrashAll(hashes []digest.Hash, needed func(digest.Hash) (bool, error)) (gone []digest.Hash, err error) {
	return d.RemoveAll(hashes, needed)
}

func (d onDisk) Contains(h digest.Hash) (bool, error) { return d[h], nil }

func addReference(rt *rapid.T, c *Catalog, files onDisk, model map[holding]byte) {
	content := rapid.ByteRange(0, 5).Draw(rt, "content")
	h := holding{tessera: rapid.ByteRange(0, 3).Draw(rt, "tessera"), fragment: rapid.Bool().Draw(rt, "fragment")}
	if h.fragment {
		h.index = rapid.IntRange(0, 3).Draw(rt, "index")
	} else {
		// A memory is its content, so another content is another row under the same name.
		h.name = fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"a", "b/c", "d"}).Draw(rt, "name"), content)
	}
	old, there := model[h]
	files[hash(content)] = true
	err := c.Update(func(tx *Tx) error {
		if h.fragment {
			_, err := tx.AddFragment(FragmentRef{Tessera: id(h.tessera), Index: h.index, Hash: hash(content), Size: 1})
			return err
		}
		return tx.AddBlobRef(BlobRef{Tessera: id(h.tessera), Memory: hash(content), Name: h.name, Hash: hash(content), Size: 1})
	})
	if there && old != content {
		if !errors.Is(err, ErrConflict) {
			rt.Fatalf("another hash under the same name: %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	model[h] = content
}

func dropFragment(rt *rapid.T, c *Catalog, model map[holding]byte) {
	h := holding{tessera: rapid.ByteRange(0, 3).Draw(rt, "tessera"), fragment: true, index: rapid.IntRange(0, 3).Draw(rt, "index")}
	content, there := model[h]
	delete(model, h)
	err := c.Update(func(tx *Tx) error {
		last, err := tx.DropFragment(id(h.tessera), h.index)
		if err == nil && last != (outstanding(model, content) == 0) {
			rt.Fatalf("last is %v with %d references left", last, outstanding(model, content))
		}
		return err
	})
	if there != (err == nil) || err != nil && !errors.Is(err, ErrNotFound) {
		rt.Fatalf("drop of a fragment that is there (%v): %v", there, err)
	}
}

func dropTessera(rt *rapid.T, c *Catalog, model map[holding]byte) {
	tessera, limit := rapid.ByteRange(0, 3).Draw(rt, "tessera"), rapid.IntRange(1, 3).Draw(rt, "limit")
	for more := true; more; {
		err := c.Update(func(tx *Tx) (err error) {
			_, more, err = tx.DropBlobRefs(id(tessera), limit)
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
	}
	for h := range model {
		if h.tessera == tessera && !h.fragment {
			delete(model, h)
		}
	}
}

func outstanding(model map[holding]byte, content byte) (n int) {
	for _, c := range model {
		if c == content {
			n++
		}
	}
	return n
}

func compareCounts(rt *rapid.T, c *Catalog, files onDisk, model map[holding]byte) {
	err := c.View(func(tx *Tx) error {
		for content := range byte(6) {
			n, err := tx.RefCount(hash(content))
			if err != nil {
				return err
			}
			if want := outstanding(model, content); n != want {
				rt.Fatalf("object %d has %d references, %d are outstanding", content, n, want)
			}
			if n > 0 && !files[hash(content)] {
				rt.Fatalf("object %d is needed and its file is gone", content)
			}
			if _, err := tx.Object(hash(content)); n > 0 && err != nil {
				rt.Fatalf("object %d is needed and has no row: %v", content, err)
			}
		}
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
}
