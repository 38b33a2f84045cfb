package catalog

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// FragmentKey names a fragment: the tessera and the fragment's number.
type FragmentKey struct {
	Tessera sdk.TesseraID
	Index   int
}

// FragmentRef says that this node keeps a fragment.
type FragmentRef struct {
	Tessera sdk.TesseraID
	Index   int
	Hash    digest.Hash
	Size    int64     // bytes
	Stored  time.Time // when it came
	Custody bool      // charged to the custody budget
}

// Key names the fragment.
func (f FragmentRef) Key() FragmentKey { return FragmentKey{f.Tessera, f.Index} }

// Next is the smallest key above k, where an iteration that ended at k goes on.
func (k FragmentKey) Next() FragmentKey { return FragmentKey{k.Tessera, k.Index + 1} }

func (k FragmentKey) row() enc { return tesseraKey(kindFragment, k.Tessera).index(k.Index) }

func (f FragmentRef) reference() enc {
	return hashKey(kindReference, f.Hash).raw([]byte{refFragment}).raw(f.Tessera[:]).index(f.Index)
}

// AddFragment records that a fragment is kept, and its object with the first reference. added is
// false when the same was recorded before; another hash or size for the same fragment is ErrConflict.
func (tx *Tx) AddFragment(f FragmentRef) (added bool, err error) {
	old, err := tx.Fragment(f.Tessera, f.Index)
	if err == nil && (old.Hash != f.Hash || old.Size != f.Size) {
		return false, fmt.Errorf("fragment %d of tessera %s: %w", f.Index, f.Tessera.Short(), ErrConflict)
	}
	if err == nil || !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if err := tx.addReference(f.Hash, f.Size, f.reference()); err != nil {
		return false, err
	}
	tx.delta.Fragments++
	tx.delta.FragmentBytes += f.Size
	if err := tx.chargeCustody(f, f.Size); err != nil {
		return false, err
	}
	v := newValue().raw(f.Hash[:]).uint(uint64(f.Size)).time(f.Stored)
	if f.Custody {
		v = v.flag(true)
	}
	return true, tx.set(f.Key().row(), v)
}

// Fragment gives the row of a fragment kept here, or ErrNotFound.
func (tx *Tx) Fragment(t sdk.TesseraID, index int) (FragmentRef, error) {
	return one(tx, FragmentKey{t, index}.row(), decodeFragment)
}

// KeepsAny tells whether any fragment of a tessera is kept here.
func (tx *Tx) KeepsAny(t sdk.TesseraID) (bool, error) {
	for _, err := range tx.Fragments(t) {
		return err == nil, err
	}
	return false, nil
}

// Fragments gives the fragments of a tessera kept here, by ascending number.
func (tx *Tx) Fragments(t sdk.TesseraID) iter.Seq2[FragmentRef, error] {
	return list(tx, tesseraKey(kindFragment, t), nil, decodeFragment)
}

// AllFragments gives every fragment kept here, at or after a key, in order of their keys.
func (tx *Tx) AllFragments(from FragmentKey) iter.Seq2[FragmentRef, error] {
	return list(tx, []byte{kindFragment}, from.row(), decodeFragment)
}

// FragmentsAmong gives the fragments kept here of some tesseras, by ascending ids, in order of their keys. It reads
// many rows at a time where the tesseras lie close.
func (tx *Tx) FragmentsAmong(ids []sdk.TesseraID) iter.Seq2[FragmentRef, error] {
	return decoded(tx.among(kindFragment, ids, firstPage), decodeFragment)
}

// DropFragment forgets a fragment. last tells that nothing needs its object any more, whose file is
// now to be removed. A fragment that is not kept here is ErrNotFound.
func (tx *Tx) DropFragment(t sdk.TesseraID, index int) (last bool, err error) {
	f, err := tx.Fragment(t, index)
	if err != nil {
		return false, err
	}
	if err := tx.chargeCustody(f, -f.Size); err != nil {
		return false, err
	}
	if err := tx.del(f.Key().row()); err != nil {
		return false, err
	}
	tx.delta.Fragments--
	tx.delta.FragmentBytes -= f.Size
	return tx.dropReference(f.Hash, f.reference())
}

func decodeFragment(r row) (f FragmentRef, err error) {
	k := openKey("fragment", r.key[1:])
	f.Tessera, f.Index = k.tessera(), k.index()
	v := openValue("fragment", r.value)
	f.Hash, f.Size, f.Stored = v.hash(), int64(v.uint()), v.time()
	f.Custody = len(v.b) > 0 && v.flag()
	return f, errors.Join(k.done(), v.done())
}
