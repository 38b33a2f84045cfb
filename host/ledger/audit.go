package ledger

import (
	"errors"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Recompute gives the rows as they follow from the facts in the index: the fragments that are kept
// here, and the fragments of our tesseras that holders are known to keep. Fragments without a plan
// are charged to nobody. Memory grows with the number of owners.
func Recompute(tx *catalog.Tx, self sdk.OwnerKey) (map[sdk.OwnerKey]catalog.LedgerRow, error) {
	rows := map[sdk.OwnerKey]catalog.LedgerRow{}
	add := func(owner sdk.OwnerKey, kept, given int64) {
		if owner == self {
			return
		}
		row := rows[owner]
		row.Owner = owner
		row.StoredForThem += uint64(kept)
		row.TheyStoreForUs += uint64(given)
		rows[owner] = row
	}
	plans := plansOf(tx)
	for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
		if err != nil {
			return nil, err
		}
		if plan, known, err := plans(f.Tessera); err != nil {
			return nil, err
		} else if known {
			add(plan.Owner, f.Size, 0)
		}
	}
	for h, err := range tx.Holders() {
		if err != nil {
			return nil, err
		}
		if plan, known, err := plans(h.Tessera); err != nil {
			return nil, err
		} else if known && plan.Owner == self {
			add(h.Owner, 0, h.Credited()*plan.ShardSize)
		}
	}
	return rows, nil
}

// plansOf looks plans up, the one that was asked for last without the index.
func plansOf(tx *catalog.Tx) func(sdk.TesseraID) (plan catalog.PlanRow, known bool, err error) {
	var last catalog.PlanRow
	return func(t sdk.TesseraID) (catalog.PlanRow, bool, error) {
		if last.Tessera == t {
			return last, true, nil
		}
		plan, err := tx.Plan(t)
		if errors.Is(err, catalog.ErrNotFound) {
			return plan, false, nil
		}
		if err == nil {
			last = plan
		}
		return plan, err == nil, err
	}
}

// Mismatch is a row that does not follow from the facts.
type Mismatch struct{ Written, Facts catalog.LedgerRow }

// Mismatches compares the rows that are written down with those that follow from the facts, in order
// of the owners' keys.
func Mismatches(tx *catalog.Tx, self sdk.OwnerKey) (out []Mismatch, err error) {
	facts, err := Recompute(tx, self)
	if err != nil {
		return nil, err
	}
	for written, err := range tx.LedgerRows() {
		if err != nil {
			return nil, err
		}
		fact := facts[written.Owner]
		fact.Owner = written.Owner
		delete(facts, written.Owner)
		if written != fact {
			out = append(out, Mismatch{written, fact})
		}
	}
	for owner, fact := range facts {
		if fact.StoredForThem != 0 || fact.TheyStoreForUs != 0 {
			out = append(out, Mismatch{catalog.LedgerRow{Owner: owner}, fact})
		}
	}
	return out, nil
}

// Account is what one node knows of what it and another keep for each other, in bytes.
type Account struct {
	Kept  int64 // here, for the other's owner
	Given int64 // of this node's owner, at the other
}

// AccountOf is this node's side of its account with a node of an owner.
func AccountOf(tx *catalog.Tx, self sdk.OwnerKey, node sdk.NodeKey, owner sdk.OwnerKey) (a Account, err error) {
	if owner == self {
		return a, nil // nobody owes himself anything
	}
	row, err := tx.Ledger(owner)
	if err != nil {
		return a, err
	}
	a.Kept = int64(row.StoredForThem)
	plans := plansOf(tx)
	for t, err := range tx.HeldBy(node) {
		if err != nil {
			return a, err
		}
		h, err := tx.Holder(t, node)
		if err != nil {
			return a, err
		}
		plan, known, err := plans(t)
		if err != nil {
			return a, err
		}
		if known && plan.Owner == self {
			a.Given += int64(len(h.Fragments)) * plan.ShardSize
		}
	}
	return a, nil
}
