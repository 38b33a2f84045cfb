package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

const metaVersion = "storage_version"

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

// checkVersion refuses an index of a newer version and marks a new one as ours.
func (c *Catalog) checkVersion() error {
	var text []byte
	err := c.View(func(tx *Tx) (err error) {
		text, err = tx.Meta(metaVersion)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		c.fresh = true
		return c.Reclaim(func(tx *Tx) error {
			err := tx.PutMeta(metaVersion, strconv.AppendInt(nil, StorageVersion, 10))
			if err != nil || c.space == nil {
				return err
			}
			return tx.PutMeta(MetaUnfilled, nil)
		})
	}
	if err != nil {
		return err
	}
	v, err := strconv.Atoi(string(text))
	if err != nil {
		return fmt.Errorf("storage version %q: %w", text, ErrDamaged)
	}
	if v > StorageVersion {
		return fmt.Errorf("storage version %d, known up to %d: %w", v, StorageVersion, ErrNewerVersion)
	}
	return nil
}
