package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/sdk"
)

var (
	self  = sdk.OwnerKey{1}
	alice = sdk.OwnerKey{2}
	bob   = sdk.OwnerKey{3}
)

func TestBothSidesOfTheBook(t *testing.T) {
	c := open(t)
	update(t, c, func(tx *catalog.Tx) error {
		return errors.Join(
			ledger.Kept(tx, self, alice, 300),
			ledger.Kept(tx, self, alice, 50),
			ledger.Released(tx, self, alice, 50),
			ledger.Acknowledged(tx, self, alice, 120),
			ledger.Kept(tx, self, bob, 70),
			ledger.Kept(tx, self, self, 1000),
			ledger.Acknowledged(tx, self, self, 1000),
		)
	})
	err := c.View(func(tx *catalog.Tx) error {
		row, err := tx.Ledger(alice)
		if row.StoredForThem != 300 || row.TheyStoreForUs != 120 || ledger.Balance(row) != -180 {
			t.Errorf("alice: %+v", row)
		}
		if own, _ := tx.Ledger(self); own.StoredForThem != 0 || own.TheyStoreForUs != 0 {
			t.Errorf("we owe ourselves: %+v", own)
		}
		for exempt, want := range map[sdk.OwnerKey]uint64{{}: 70, bob: 0} {
			granted, err := ledger.NewcomerGranted(tx, func(o sdk.OwnerKey) bool { return o == exempt })
			if granted != want || err != nil {
				t.Errorf("granted to newcomers: %d, want %d of bob alone; %v", granted, want, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsTakenBackThatWasNotGiven(t *testing.T) {
	c := open(t)
	err := c.Update(func(tx *catalog.Tx) error { return ledger.Lapsed(tx, self, alice, 1) })
	if !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("Lapsed = %v, want ErrConflict", err)
	}
}

func TestBestPeers(t *testing.T) {
	got := ledger.Best(slices.Values([]ledger.Standing{
		{Owner: alice, Balance: 5, ProofSuccessPPM: 1},
		{Owner: bob, Balance: 5, ProofSuccessPPM: 2},
		{Owner: self, Balance: 9},
	}))
	if got[0].Owner != self || got[1].Owner != bob || got[2].Owner != alice {
		t.Errorf("order %v", got)
	}
}

func open(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func update(t *testing.T, c *catalog.Catalog, fn func(*catalog.Tx) error) {
	t.Helper()
	if err := c.Update(fn); err != nil {
		t.Fatal(err)
	}
}
