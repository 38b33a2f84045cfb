package catalog

import "iter"

// list decodes every row of a prefix, from a key on.
func list[T any](tx *Tx, prefix, from []byte, decode func(row) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range tx.scan(prefix, from) {
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
