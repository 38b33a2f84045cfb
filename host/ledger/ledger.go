// Package ledger answers: what do we and another owner owe each other?
//
// The books are bilateral and each node keeps its own: bytes stored for an owner, and bytes that
// owner's nodes store for us. Everything is charged to the owner named in the signed plan, whoever
// pushed it, and never to a node id, which costs nothing to change. The rows change in the same
// catalog transaction as the fragments they count.
package ledger

import (
	"cmp"
	"iter"
	"slices"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Kept records that this node took size bytes into custody for an owner. Our own fragments, kept
// for ourselves on another of our nodes, are owed by nobody.
func Kept(tx *catalog.Tx, self, owner sdk.OwnerKey, size int64) error {
	if owner == self {
		return nil
	}
	_, err := tx.AddLedger(owner, size, 0)
	return err
}

// Released takes back what Kept recorded.
func Released(tx *catalog.Tx, self, owner sdk.OwnerKey, size int64) error {
	return Kept(tx, self, owner, -size)
}

// Acknowledged records that a holder's receipt for size bytes of ours was taken.
func Acknowledged(tx *catalog.Tx, self, holder sdk.OwnerKey, size int64) error {
	if holder == self || size == 0 {
		return nil
	}
	_, err := tx.AddLedger(holder, 0, size)
	return err
}

// Lapsed takes back what Acknowledged recorded: the holder is gone or failed, and its credit with it.
func Lapsed(tx *catalog.Tx, self, holder sdk.OwnerKey, size int64) error {
	return Acknowledged(tx, self, holder, -size)
}

// Balance is what they store for us less what we store for them, in bytes: negative for a debtor.
func Balance(row catalog.LedgerRow) int64 {
	return int64(row.TheyStoreForUs) - int64(row.StoredForThem)
}

// NewcomerGranted is the sum of bytes stored for owners that never held anything for us, but for those
// that are exempt: what is kept for a library takes nothing from newcomers.
func NewcomerGranted(tx *catalog.Tx, exempt func(sdk.OwnerKey) bool) (sum uint64, err error) {
	for row, err := range tx.LedgerRows() {
		if err != nil {
			return 0, err
		}
		if row.TheyStoreForUs == 0 && !exempt(row.Owner) {
			sum += row.StoredForThem
		}
	}
	return sum, nil
}

// Standing is what makes an owner's nodes good to place with.
type Standing struct {
	Owner           sdk.OwnerKey
	Balance         int64
	ProofSuccessPPM uint32
	UptimePPM       uint32
}

// Best sorts owners for placement: highest balance first, then proof success, then uptime.
func Best(owners iter.Seq[Standing]) []Standing {
	return slices.SortedFunc(owners, func(a, b Standing) int {
		return cmp.Or(
			cmp.Compare(b.Balance, a.Balance),
			cmp.Compare(b.ProofSuccessPPM, a.ProofSuccessPPM),
			cmp.Compare(b.UptimePPM, a.UptimePPM),
			slices.Compare(a.Owner[:], b.Owner[:]),
		)
	})
}
