package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

const metaVersion = "storage_version"

// metaForm is the name of the version of all rows together. Another than indexForm is not read.
const (
	metaForm  = "index_form"
	indexForm = 2
)

// MetaUnfilled is the name of the value that says that an index does not know yet what lies beside it. It
// comes with the first transaction of every new index on disk, so there is no moment at which an empty one
// could be taken for the truth; whoever has filled the index drops it.
const MetaUnfilled = "unfilled"

func metaKey(name string) enc { return append(enc{kindMeta}, name...) }

// Meta gives a small value by its name, or ErrNotFound. The bytes are the caller's.
func (tx *Tx) Meta(name string) ([]byte, error) {
	return one(tx, metaKey(name), func(r row) ([]byte, error) {
		v := openValue("meta", r.value)
		return bytes.Clone(v.rest()), v.done()
	})
}

// PutMeta keeps a small value under a name.
func (tx *Tx) PutMeta(name string, value []byte) error {
	return tx.set(metaKey(name), newValue().raw(value))
}

// DropMeta forgets a value. One that is not there is no error.
func (tx *Tx) DropMeta(name string) error { return tx.del(metaKey(name)) }

// checkVersion refuses an index of a newer version and marks a new one as ours. One that is of an older form is
// ErrOutdated: it is derived, and nobody has to know how it was.
func (c *Catalog) checkVersion() error {
	version, form := 0, 0
	err := c.View(func(tx *Tx) (err error) {
		if version, err = tx.number(metaVersion); err != nil {
			return err
		}
		if form, err = tx.number(metaForm); errors.Is(err, ErrNotFound) {
			return nil // the first form did not say
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return c.markNew()
	}
	switch {
	case err != nil:
		return err
	case version > StorageVersion:
		return fmt.Errorf("storage version %d, known up to %d: %w", version, StorageVersion, ErrNewerVersion)
	case form > indexForm:
		return fmt.Errorf("index form %d, known up to %d: %w", form, indexForm, ErrNewerVersion)
	case form < indexForm:
		return fmt.Errorf("index form %d, not %d: %w", form, indexForm, ErrOutdated)
	}
	return nil
}

// markNew marks an empty index as ours.
func (c *Catalog) markNew() error {
	c.fresh = true
	return c.Reclaim(func(tx *Tx) error {
		err := errors.Join(tx.putNumber(metaVersion, StorageVersion), tx.putNumber(metaForm, indexForm))
		if err != nil || c.space == nil {
			return err
		}
		return tx.PutMeta(MetaUnfilled, nil)
	})
}

// number reads a small value that is a number in ASCII.
func (tx *Tx) number(name string) (int, error) {
	text, err := tx.Meta(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", name, text, ErrDamaged)
	}
	return n, nil
}

func (tx *Tx) putNumber(name string, n int) error {
	return tx.PutMeta(name, strconv.AppendInt(nil, int64(n), 10))
}
