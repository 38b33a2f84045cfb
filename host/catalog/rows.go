package catalog

import (
	"bytes"
	"iter"

	"github.com/tesseras/tesseras/sdk"
)

// list decodes every row of a prefix, from a key on.
func list[T any](tx *Tx, prefix, from []byte, decode func(row) (T, error)) iter.Seq2[T, error] {
	return decoded(tx.scan(prefix, from), decode)
}

func decoded[T any](rows iter.Seq2[row, error], decode func(row) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range rows {
			var v T
			if err == nil {
				v, err = decode(r)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// dense is of how many rows that are read in a page one is wanted at least where it pays to read pages.
const dense = 5

// among gives the rows of a kind that are about some tesseras, by ascending ids, in order of their keys. Where the
// tesseras lie close it reads pages, of no more rows than there are tesseras left unless that is less than atLeast.
func (tx *Tx) among(kind byte, ids []sdk.TesseraID, atLeast int) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		var next []byte
		for limit := firstPage; len(ids) > 0; {
			from := start(tesseraKey(kind, ids[0]), next)
			rows, after, err := tx.page([]byte{kind}, from, min(limit, max(len(ids), atLeast)))
			if err != nil {
				yield(row{}, err)
				return
			}
			wanted := 0
			for _, r := range rows {
				about := r.key[1:min(len(r.key), 1+sdk.IDSize)]
				for len(ids) > 0 && bytes.Compare(ids[0][:], about) < 0 {
					ids = ids[1:]
				}
				if len(ids) == 0 {
					return
				}
				if !bytes.Equal(ids[0][:], about) {
					continue
				}
				if wanted++; !yield(r, nil) {
					return
				}
				if len(r.key) == 1+sdk.IDSize { // there is no other about this one
					ids = ids[1:]
				}
			}
			if after == nil {
				return
			}
			if next, limit = after, min(4*limit, maxPage); wanted*dense < len(rows) {
				limit = 1
			}
		}
	}
}

// one decodes the row of a key, or gives ErrNotFound.
func one[T any](tx *Tx, key []byte, decode func(row) (T, error)) (v T, err error) {
	value, err := tx.get(key)
	if err != nil {
		return v, err
	}
	return decode(row{key, value})
}

// Row is one row as it is stored. Nobody may change its bytes.
type Row struct{ Key, Value []byte }

// Rows gives every row there is, in order of the keys: to compare two catalogs, not to work with.
func (tx *Tx) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for r, err := range tx.scan(nil, nil) {
			if !yield(Row{r.key, r.value}, err) {
				return
			}
		}
	}
}
