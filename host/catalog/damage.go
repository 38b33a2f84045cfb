package catalog

import (
	"errors"
	"iter"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Damage says that an object which is needed is not here as it should be.
type Damage struct {
	Hash  digest.Hash
	Found time.Time
	Lost  bool // there is no file; otherwise it held other bytes and was put aside
}

// PutDamage writes the row. The first one of an object stays.
func (tx *Tx) PutDamage(d Damage) error {
	_, err := tx.Damage(d.Hash)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	return tx.set(hashKey(kindDamage, d.Hash), newValue().time(d.Found).flag(d.Lost))
}

// Damage gives the row of an object, or ErrNotFound: then nothing is known against it.
func (tx *Tx) Damage(h digest.Hash) (Damage, error) {
	return one(tx, hashKey(kindDamage, h), decodeDamage)
}

// Damages gives all that is known to be damaged, in order of the hashes.
func (tx *Tx) Damages() iter.Seq2[Damage, error] {
	return list(tx, []byte{kindDamage}, nil, decodeDamage)
}

// AnyDamage tells whether anything is known to be damaged.
func (tx *Tx) AnyDamage() (bool, error) { return tx.any([]byte{kindDamage}) }

// Healed tells that an object is here again, whole and durable. It gives whether it was known to be
// damaged.
func (tx *Tx) Healed(h digest.Hash) (was bool, err error) {
	_, err = tx.Damage(h)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, tx.del(hashKey(kindDamage, h))
}

func decodeDamage(r row) (d Damage, err error) {
	k := openKey("damage", r.key[1:])
	d.Hash = k.hash()
	v := openValue("damage", r.value)
	d.Found, d.Lost = v.time(), v.flag()
	return d, errors.Join(k.done(), v.done())
}

// Use is what an object is to a tessera: one of its files, or a fragment kept of it.
type Use struct {
	Referrer
	Name string // of the file
	Size int64  // bytes
}

// Uses gives what an object is needed for.
func (tx *Tx) Uses(h digest.Hash) (uses []Use, err error) {
	var last sdk.TesseraID
	for r, err := range tx.Referrers(h) {
		if err != nil {
			return nil, err
		}
		if r.Fragment {
			f, err := tx.Fragment(r.Tessera, r.Index)
			if err != nil {
				return nil, err
			}
			uses = append(uses, Use{Referrer: r, Size: f.Size})
			continue
		}
		if r.Tessera == last {
			continue // its files were all found with the first one
		}
		last = r.Tessera
		files, err := tx.filesOf(r, h)
		if err != nil {
			return nil, err
		}
		uses = append(uses, files...)
	}
	return uses, nil
}

// filesOf lists the files of a tessera that are an object.
func (tx *Tx) filesOf(r Referrer, h digest.Hash) (uses []Use, err error) {
	for b, err := range list(tx, tesseraKey(kindBlob, r.Tessera).raw(h[:]), nil, decodeBlobRef) {
		if err != nil {
			return nil, err
		}
		uses = append(uses, Use{Referrer: r, Name: b.Name, Size: b.Size})
	}
	return uses, nil
}

// WholeFragments passes over those of a list of fragments whose objects are known to be damaged.
func (tx *Tx) WholeFragments(list iter.Seq2[FragmentRef, error]) iter.Seq2[FragmentRef, error] {
	return func(yield func(FragmentRef, error) bool) {
		any, err := tx.AnyDamage()
		if err != nil {
			yield(FragmentRef{}, err)
			return
		}
		for f, err := range list {
			if any && err == nil {
				_, err = tx.Damage(f.Hash)
				if err == nil {
					continue
				}
				if errors.Is(err, ErrNotFound) {
					err = nil
				}
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}
