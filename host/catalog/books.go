package catalog

import (
	"errors"
	"fmt"
)

// Totals sum up what the index says is needed. They change in the transaction that changes what they
// count, so they cost nothing to read and are never behind.
type Totals struct {
	Objects       int64 // object rows
	Bytes         int64 // of those objects
	Fragments     int64 // fragment rows
	FragmentBytes int64
}

// books are the totals and the number of transactions so far, which tells an index that has lost its
// last ones from one that has not. See committed.
type books struct {
	sequence uint64
	Totals
}

const metaBooks = "books"

// Totals gives the sums as of this transaction's beginning and its own changes.
func (tx *Tx) Totals() (Totals, error) {
	b, err := tx.books()
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return b.plus(tx.delta).Totals, err
}

func (tx *Tx) books() (books, error) { return one(tx, metaKey(metaBooks), decodeBooks) }

func (b books) plus(d Totals) books {
	b.Objects += d.Objects
	b.Bytes += d.Bytes
	b.Fragments += d.Fragments
	b.FragmentBytes += d.FragmentBytes
	return b
}

func (b books) value() enc {
	return newValue().uint(b.sequence).uint(uint64(b.Objects)).uint(uint64(b.Bytes)).
		uint(uint64(b.Fragments)).uint(uint64(b.FragmentBytes))
}

func decodeBooks(r row) (b books, err error) {
	v := openValue("books", r.value)
	b.sequence = v.uint()
	b.Objects, b.Bytes = int64(v.uint()), int64(v.uint())
	b.Fragments, b.FragmentBytes = int64(v.uint()), int64(v.uint())
	return b, v.done()
}

// enterBooks writes the new totals and number into a transaction that changes something, beside the
// limits of its size: the row is always the same one.
func (tx *Tx) enterBooks() (sequence uint64, err error) {
	b, err := tx.books()
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	b = b.plus(tx.delta)
	b.sequence++
	tx.pending.ReplaceOrInsert(change{key: metaKey(metaBooks), value: b.value()})
	return b.sequence, nil
}

// checkCommitted compares the index with the number of transactions that was last written beside it.
func (c *Catalog) checkCommitted() error {
	last, ok := c.committed.read()
	if !ok {
		return nil
	}
	var b books
	err := c.View(func(tx *Tx) (err error) {
		b, err = tx.books()
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return err
	})
	if err == nil && b.sequence < last {
		err = fmt.Errorf("the last %d transactions are gone: %w", last-b.sequence, ErrDamaged)
	}
	return err
}

// checkBooks opens the books of an index that an earlier version of the software wrote without them.
func (c *Catalog) checkBooks() error {
	err := c.View(func(tx *Tx) error {
		_, err := tx.books()
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return c.openBooks()
	}
	return err
}

// openBooks counts everything once.
func (c *Catalog) openBooks() error {
	return c.Reclaim(func(tx *Tx) error {
		sum, err := tx.count()
		if err != nil {
			return err
		}
		tx.pending.ReplaceOrInsert(change{key: metaKey(metaBooks), value: books{Totals: sum}.value()})
		return nil
	})
}

func (tx *Tx) count() (sum Totals, err error) {
	for o, err := range tx.Objects([32]byte{}) {
		if err != nil {
			return sum, err
		}
		sum.Objects++
		sum.Bytes += o.Size
	}
	for f, err := range tx.AllFragments(FragmentKey{}) {
		if err != nil {
			return sum, err
		}
		sum.Fragments++
		sum.FragmentBytes += f.Size
	}
	return sum, nil
}
