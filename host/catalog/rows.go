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
