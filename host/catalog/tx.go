package catalog

import (
	"bytes"
	"fmt"
	"iter"
	"time"

	"github.com/google/btree"
)

// Limits of one transaction, a little below Badger's own, the same in every form.
const (
	maxTxRows  = 4000
	maxTxBytes = 512 << 10
	rowCost    = 12 // what Badger adds to key and value when it counts
)

// Page sizes of a scan: small first, because many scans only ask whether there is a row at all.
const (
	firstPage = 16
	maxPage   = 512
)

// Tx is a transaction: what View and Update hand to their function. It is not safe for use by more
// than one goroutine and is worth nothing once the function has returned.
//
// Iterators read in pages. A row changed while an iteration is on may be seen as it was or as it is.
type Tx struct {
	base    snapshot
	last    row                   // read last of base: who changes a row in parts asks for it again and again
	ahead   map[string][]byte     // rows of base read by a scan that are to be changed; nil in a View
	pending *btree.BTreeG[change] // nil in a View
	bytes   int
	delta   Totals // what the transaction adds to the totals
	now     func() time.Time
}

func newPending() *btree.BTreeG[change] {
	return btree.NewG(memoryDegree, func(a, b change) bool { return bytes.Compare(a.key, b.key) < 0 })
}

// changes lists what the transaction wants to write, in key order.
func (tx *Tx) changes() []change {
	out := make([]change, 0, tx.pending.Len())
	tx.pending.Ascend(func(c change) bool {
		out = append(out, c)
		return true
	})
	return out
}

func (tx *Tx) get(key []byte) ([]byte, error) {
	if tx.pending != nil {
		if c, ok := tx.pending.Get(change{key: key}); ok {
			if c.del {
				return nil, ErrNotFound
			}
			return c.value, nil
		}
	}
	if tx.last.key != nil && bytes.Equal(tx.last.key, key) {
		return tx.last.value, nil
	}
	if value, known := tx.ahead[string(key)]; known {
		return value, nil
	}
	value, err := tx.base.get(key)
	if err == nil {
		tx.last = row{key, value}
	}
	return value, err
}

func (tx *Tx) set(key, value []byte) error { return tx.change(change{key: key, value: value}) }

func (tx *Tx) del(key []byte) error { return tx.change(change{key: key, del: true}) }

func (tx *Tx) change(c change) error {
	if tx.pending == nil {
		return ErrReadOnly
	}
	if old, ok := tx.pending.ReplaceOrInsert(c); ok {
		tx.bytes -= old.cost()
	}
	tx.bytes += c.cost()
	if tx.pending.Len() > maxTxRows || tx.bytes > maxTxBytes {
		return fmt.Errorf("%w: %d rows, %d bytes", ErrTooBig, tx.pending.Len(), tx.bytes)
	}
	return nil
}

func (c change) cost() int { return len(c.key) + len(c.value) + rowCost }

// scan gives the rows whose key starts with prefix and is not below from, in key order.
func (tx *Tx) scan(prefix, from []byte) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for limit := firstPage; ; limit = min(4*limit, maxPage) {
			rows, next, err := tx.page(prefix, from, limit)
			if err != nil {
				yield(row{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			from = next
		}
	}
}

// any tells whether a row has this prefix.
func (tx *Tx) any(prefix []byte) (bool, error) {
	for _, err := range tx.scan(prefix, nil) {
		return err == nil, err
	}
	return false, nil
}

// page reads up to limit rows of the snapshot and lays the pending changes over them. It gives the
// key at which to go on, nil at the end of the prefix.
func (tx *Tx) page(prefix, from []byte, limit int) (rows []row, next []byte, err error) {
	base, err := tx.base.page(prefix, from, limit)
	if err != nil {
		return nil, nil, err
	}
	if len(base) == limit {
		next = append(bytes.Clone(base[limit-1].key), 0)
	}
	if tx.pending == nil || tx.pending.Len() == 0 {
		return base, next, nil
	}
	return tx.overlay(base, prefix, start(prefix, from), next), next, nil
}

// overlay merges the pending changes of [from, next) into base.
func (tx *Tx) overlay(base []row, prefix, from, next []byte) []row {
	var out []row
	tx.pending.AscendGreaterOrEqual(change{key: from}, func(c change) bool {
		if !bytes.HasPrefix(c.key, prefix) || next != nil && bytes.Compare(c.key, next) >= 0 {
			return false
		}
		for len(base) > 0 && bytes.Compare(base[0].key, c.key) < 0 {
			out, base = append(out, base[0]), base[1:]
		}
		if len(base) > 0 && bytes.Equal(base[0].key, c.key) {
			base = base[1:]
		}
		if !c.del {
			out = append(out, row{c.key, c.value})
		}
		return true
	})
	return append(out, base...)
}
