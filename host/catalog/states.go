package catalog

import (
	"bytes"
	"iter"

	"github.com/tesseras/tesseras/host/digest"
)

// ObjectState is an object row, and whether anything refers to the object.
type ObjectState struct {
	Object
	Needed bool
}

// States gives every object row at or after a hash, in order of their hashes. It reads object rows and
// reference rows side by side, each once, which is much faster than to ask Needed for each.
func (tx *Tx) States(from digest.Hash) iter.Seq2[ObjectState, error] {
	return func(yield func(ObjectState, error) bool) {
		next, stop := iter.Pull2(tx.scan([]byte{kindReference}, hashKey(kindReference, from)))
		defer stop()
		refs := references{next: next}
		for o, err := range tx.Objects(from) {
			s := ObjectState{Object: o}
			if err == nil {
				s.Needed, err = refs.name(o.Hash)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// references walks the reference rows.
type references struct {
	next func() (row, error, bool)
	at   []byte // hash of the row at hand
	end  bool
}

// name tells whether there is a reference to an object. Hashes are asked in ascending order.
func (r *references) name(h digest.Hash) (bool, error) {
	for !r.end && bytes.Compare(r.at, h[:]) < 0 {
		row, err, ok := r.next()
		if err != nil {
			return false, err
		}
		if !ok {
			r.end = true
			break
		}
		r.at = row.key[1 : 1+len(h)]
	}
	return !r.end && bytes.Equal(r.at, h[:]), nil
}
