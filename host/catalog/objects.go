package catalog

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Object is the row of a content that is, or until a moment ago was, needed.
type Object struct {
	Hash    digest.Hash
	Size    int64 // bytes
	Created time.Time
}

// Referrer is one reference to an object: a fragment of a tessera, or a file of one.
type Referrer struct {
	Tessera  sdk.TesseraID
	Fragment bool
	Index    int // of the fragment
}

const (
	refBlob     = 'b'
	refFragment = 'f'
)

// Object gives the row of an object, or ErrNotFound.
func (tx *Tx) Object(h digest.Hash) (Object, error) {
	return one(tx, hashKey(kindObject, h), decodeObject)
}

// Objects gives every object row at or after a hash, in order of their hashes.
func (tx *Tx) Objects(from digest.Hash) iter.Seq2[Object, error] {
	return list(tx, []byte{kindObject}, hashKey(kindObject, from), decodeObject)
}

// RefCount is the number of reference rows of an object.
func (tx *Tx) RefCount(h digest.Hash) (n int, err error) {
	for _, err := range tx.scan(hashKey(kindReference, h), nil) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Needed tells whether an object has any reference.
func (tx *Tx) Needed(h digest.Hash) (bool, error) { return tx.any(hashKey(kindReference, h)) }

// Referrers gives every reference to an object.
func (tx *Tx) Referrers(h digest.Hash) iter.Seq2[Referrer, error] {
	return list(tx, hashKey(kindReference, h), nil, decodeReferrer)
}

// Released gives every object, at or after a hash, whose last reference went and whose file may still
// be there.
func (tx *Tx) Released(from digest.Hash) iter.Seq2[digest.Hash, error] {
	return list(tx, []byte{kindReleased}, hashKey(kindReleased, from), decodeReleased)
}

func decodeReleased(r row) (digest.Hash, error) {
	d := openKey("released", r.key[1:])
	h := d.hash()
	return h, d.done()
}

// DropObject forgets an object whose file is gone. An object that is needed again stays, and the
// answer is false. One that has no row is no error.
func (tx *Tx) DropObject(h digest.Hash) (dropped bool, err error) {
	needed, err := tx.Needed(h)
	if err != nil {
		return false, err
	}
	if err := tx.del(hashKey(kindReleased, h)); err != nil || needed {
		return false, err
	}
	o, err := tx.Object(h)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	tx.delta.Objects--
	tx.delta.Bytes -= o.Size
	return true, tx.del(hashKey(kindObject, h))
}

// addReference writes one reference row, and the object row with the first of them.
func (tx *Tx) addReference(h digest.Hash, size int64, ref enc) error {
	o, err := tx.Object(h)
	switch {
	case errors.Is(err, ErrNotFound):
		if err := tx.set(hashKey(kindObject, h), newValue().uint(uint64(size)).time(tx.now())); err != nil {
			return err
		}
		tx.delta.Objects++
		tx.delta.Bytes += size
	case err != nil:
		return err
	case o.Size != size:
		return fmt.Errorf("object %s of %d bytes, not %d: %w", h.Short(), o.Size, size, ErrConflict)
	}
	if _, err := tx.Healed(h); err != nil { // whoever refers to an object has just found it whole
		return err
	}
	return tx.set(ref, newValue())
}

// dropReference takes one reference row away. When it was the last one the object is released: its
// row stays until DropObject, and Released names it, so that a crash between the two forgets nothing.
func (tx *Tx) dropReference(h digest.Hash, ref enc) (last bool, err error) {
	if err := tx.del(ref); err != nil {
		return false, err
	}
	needed, err := tx.Needed(h)
	if err != nil || needed {
		return false, err
	}
	if _, err := tx.Healed(h); err != nil { // what nobody needs cannot be damaged
		return false, err
	}
	return true, tx.set(hashKey(kindReleased, h), newValue())
}

func decodeObject(r row) (o Object, err error) {
	k := openKey("object", r.key[1:])
	o.Hash = k.hash()
	v := openValue("object", r.value)
	o.Size, o.Created = int64(v.uint()), v.time()
	return o, errors.Join(k.done(), v.done())
}

func decodeReferrer(r row) (ref Referrer, err error) {
	d := openKey("reference", r.key[1:])
	d.hash()
	kind := d.raw(1)[0]
	ref.Tessera = d.tessera()
	if kind == refFragment {
		ref.Fragment, ref.Index = true, d.index()
	} else {
		d.raw(nameSum)
	}
	return ref, d.done()
}
