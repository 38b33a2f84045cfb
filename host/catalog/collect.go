package catalog

import (
	"context"
	"fmt"

	"github.com/tesseras/tesseras/host/digest"
)

// Remover removes the files of objects, but for those that are in use or, asked under its lock, still
// needed, and gives those that are gone.
type Remover interface {
	RemoveAll(hashes []digest.Hash, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error)
	// TrashAll is RemoveAll for those who are not sure: the files are kept for a while.
	TrashAll(hashes []digest.Hash, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error)
	// Contains tells whether there is a file for this hash.
	Contains(digest.Hash) (bool, error)
}

// collectStep is how many objects are removed between two transactions.
const collectStep = 1024

// Needed is Tx.Needed in a View of its own.
func (c *Catalog) Needed(h digest.Hash) (needed bool, err error) {
	err = c.View(func(tx *Tx) error {
		needed, err = tx.Needed(h)
		return err
	})
	return needed, err
}

// Collect removes the files of all released objects, and then their rows. It is what follows the
// transaction that dropped references. One that is in use at the moment stays released until the
// next Collect. After an error or a crash another Collect goes on where this one ended.
//
// Beside a manifest or a plan that cannot be read the files only go to the trash: what that document asked
// for may be unknown to this index.
func (c *Catalog) Collect(ctx context.Context, store Remover) (removed int, err error) {
	remove, err := c.remover(store)
	if err != nil {
		return 0, fmt.Errorf("collect released objects: %w", err)
	}
	for from := (digest.Hash{}); ; {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		part, err := c.released(from)
		if err == nil {
			var n int
			n, err = c.collect(store, remove, part)
			removed += n
		}
		if err != nil {
			return removed, fmt.Errorf("collect released objects: %w", err)
		}
		if len(part) < collectStep {
			return removed, nil
		}
		from = part[len(part)-1]
	}
}

// removal is one of the ways in which a Remover removes.
type removal func(hashes []digest.Hash, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error)

// remover chooses how files go.
func (c *Catalog) remover(store Remover) (remove removal, err error) {
	remove = store.RemoveAll
	return remove, c.View(func(tx *Tx) error {
		for d, err := range tx.BadDocuments() {
			if err != nil {
				return err
			}
			if d.Kind == DocManifest || d.Kind == DocPlan {
				remove = store.TrashAll
				return nil
			}
		}
		return nil
	})
}

// Collected is how many objects Collect has removed since the catalog was opened.
func (c *Catalog) Collected() int64 { return c.collected.Load() }

// released lists up to collectStep released objects at or after a hash.
func (c *Catalog) released(from digest.Hash) (part []digest.Hash, err error) {
	err = c.View(func(tx *Tx) error {
		for h, err := range tx.Released(from) {
			if err != nil {
				return err
			}
			if part = append(part, h); len(part) == collectStep {
				return nil
			}
		}
		return nil
	})
	return part, err
}

func (c *Catalog) collect(store Remover, remove removal, released []digest.Hash) (removed int, err error) {
	if len(released) == 0 {
		return 0, nil
	}
	gone, err := remove(released, c.Needed)
	if err != nil {
		return 0, err
	}
	c.collected.Add(int64(len(gone)))
	isGone := make(map[digest.Hash]bool, len(gone))
	for _, h := range gone {
		isGone[h] = true
	}
	return len(gone), ReclaimEach(c, released, func(tx *Tx, h digest.Hash) error {
		if !isGone[h] {
			return tx.settleReleased(h)
		}
		return tx.forget(store, h)
	})
}

// forget drops an object whose file was removed. Meanwhile somebody may have put, needed and released
// it again: that file is for the next Collect.
func (tx *Tx) forget(store Remover, h digest.Hash) error {
	back, err := store.Contains(h)
	if err != nil {
		return err
	}
	if back {
		return tx.settleReleased(h)
	}
	_, err = tx.DropObject(h)
	return err
}

// settleReleased takes the mark from a released object that is needed again.
func (tx *Tx) settleReleased(h digest.Hash) error {
	needed, err := tx.Needed(h)
	if err != nil || !needed {
		return err
	}
	return tx.del(hashKey(kindReleased, h))
}
