package catalog

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tesseras/tesseras/sdk"
)

// LedgerRow is what this node and an owner store for each other, in bytes.
type LedgerRow struct {
	Owner          sdk.OwnerKey
	StoredForThem  uint64
	TheyStoreForUs uint64
}

// Ledger gives the row of an owner, all zero when there is none.
func (tx *Tx) Ledger(owner sdk.OwnerKey) (LedgerRow, error) {
	l, err := one(tx, ledgerKey(owner), decodeLedger)
	if errors.Is(err, ErrNotFound) {
		return LedgerRow{Owner: owner}, nil
	}
	return l, err
}

// AddLedger adds to both sums of an owner, or subtracts, and gives the new row. A sum that would go
// below zero is ErrConflict and nothing changes: somebody took back what was never given.
func (tx *Tx) AddLedger(owner sdk.OwnerKey, storedForThem, theyStoreForUs int64) (LedgerRow, error) {
	l, err := tx.Ledger(owner)
	if err != nil {
		return LedgerRow{}, err
	}
	ours, ok1 := addSigned(l.StoredForThem, storedForThem)
	theirs, ok2 := addSigned(l.TheyStoreForUs, theyStoreForUs)
	if !ok1 || !ok2 {
		return LedgerRow{}, fmt.Errorf("ledger of %s: %d%+d, %d%+d: %w", owner.Short(),
			l.StoredForThem, storedForThem, l.TheyStoreForUs, theyStoreForUs, ErrConflict)
	}
	l.StoredForThem, l.TheyStoreForUs = ours, theirs
	return l, tx.set(ledgerKey(owner), newValue().uint(ours).uint(theirs))
}

// addSigned is sum+d, unless that leaves the range.
func addSigned(sum uint64, d int64) (uint64, bool) {
	out := sum + uint64(d)
	return out, (d >= 0) == (out >= sum)
}

// LedgerRows gives the rows of all owners, in order of their keys.
func (tx *Tx) LedgerRows() iter.Seq2[LedgerRow, error] {
	return list(tx, []byte{kindLedger}, nil, decodeLedger)
}

func ledgerKey(owner sdk.OwnerKey) enc { return append(enc{kindLedger}, owner[:]...) }

func decodeLedger(r row) (l LedgerRow, err error) {
	k := openKey("ledger", r.key[1:])
	l.Owner = k.owner()
	v := openValue("ledger", r.value)
	l.StoredForThem, l.TheyStoreForUs = v.uint(), v.uint()
	return l, errors.Join(k.done(), v.done())
}
