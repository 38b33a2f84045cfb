package custody

import (
	"errors"
	"slices"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/sdk"
)

// adopt takes fragments that were kept here without a plan under the verified one that comes now, which it
// keeps. Nobody gets a receipt, or gives them up, before they are in the books.
func (s *Service) adopt(plan *fragment.FragmentPlan, text []byte) error {
	waiting := false
	err := s.Catalog.View(func(tx *catalog.Tx) (err error) {
		waiting, err = unplanned(tx, plan.Tessera)
		return err
	})
	if err != nil || !waiting {
		return err
	}
	if err := s.keepPlan(plan.Tessera, text); err != nil {
		return notDurable(s.Log, "store plan", err)
	}
	err = s.Catalog.Update(func(tx *catalog.Tx) error { return s.planned(tx, plan) })
	if err != nil {
		return notDurable(s.Log, "adopt fragments", err)
	}
	if s.Stored != nil {
		s.Stored(plan.Tessera, true) // by its plan: nobody was told of it yet
	}
	return nil
}

// unplanned tells whether fragments of a tessera are kept here without a plan.
func unplanned(tx *catalog.Tx, t sdk.TesseraID) (bool, error) {
	_, err := tx.Plan(t)
	if err == nil || !errors.Is(err, catalog.ErrNotFound) {
		return false, err
	}
	return tx.KeepsAny(t)
}

// planned writes the row of a plan with the first fragment under it. Fragments that were here before, without
// a plan, are charged to its owner, each under the index at which the plan names it. What the plan does not
// name is nobody's: its file is left to the sweep.
func (s *Service) planned(tx *catalog.Tx, plan *fragment.FragmentPlan) error {
	_, err := tx.Plan(plan.Tessera)
	if !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	var here []catalog.FragmentRef
	for f, err := range tx.Fragments(plan.Tessera) {
		if err != nil {
			return err
		}
		here = append(here, f)
	}
	var elsewhere []catalog.FragmentRef
	for _, f := range here {
		if names(plan, f) {
			err = ledger.Kept(tx, s.Owner, plan.Owner(), f.Size)
		} else {
			elsewhere = append(elsewhere, f)
			_, err = tx.DropFragment(f.Tessera, f.Index)
		}
		if err != nil {
			return err
		}
	}
	for _, f := range elsewhere {
		if err := s.relocate(tx, plan, f); err != nil {
			return err
		}
	}
	return tx.PutPlan(catalog.RowOf(plan, s.Owner))
}

// names tells whether a plan names a fragment at its index.
func names(plan *fragment.FragmentPlan, f catalog.FragmentRef) bool {
	return f.Index < plan.Total() && plan.Fragments[f.Index] == f.Hash && f.Size == plan.ShardSize()
}

// relocate keeps a fragment that was dropped from a wrong index under the right one. One that has none is
// forgotten without being released: that would remove its file at once.
func (s *Service) relocate(tx *catalog.Tx, plan *fragment.FragmentPlan, f catalog.FragmentRef) error {
	f.Index = slices.Index(plan.Fragments, f.Hash)
	if f.Index < 0 || f.Size != plan.ShardSize() {
		_, err := tx.DropObject(f.Hash)
		return err
	}
	added, err := tx.AddFragment(f)
	if err != nil || !added {
		return err
	}
	return ledger.Kept(tx, s.Owner, plan.Owner(), f.Size)
}
