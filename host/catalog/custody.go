package catalog

import (
	"encoding/binary"
	"errors"
)

// metaCustody is the name of the sum of all fragments that are kept on the custody budget, in bytes.
const metaCustody = "custody_used"

// CustodyUsed is how many bytes are kept on the custody budget: taken from repairers while their owners
// were in debt. It changes in the same transaction as the fragments it counts.
func (tx *Tx) CustodyUsed() (uint64, error) {
	b, err := tx.Meta(metaCustody)
	switch {
	case errors.Is(err, ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(b) != 8:
		return 0, ErrDamaged
	}
	return binary.BigEndian.Uint64(b), nil
}

// chargeCustody adds to the sum, or takes back.
func (tx *Tx) chargeCustody(f FragmentRef, change int64) error {
	if !f.Custody {
		return nil
	}
	used, err := tx.CustodyUsed()
	if err != nil {
		return err
	}
	used, ok := addSigned(used, change)
	if !ok {
		return ErrConflict
	}
	return tx.PutMeta(metaCustody, binary.BigEndian.AppendUint64(nil, used))
}
