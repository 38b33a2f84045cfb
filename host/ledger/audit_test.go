package ledger_test

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/sdk"
)

func TestTheBooksFollowFromTheFacts(t *testing.T) {
	c := open(t)
	mine, theirs, unplanned := sdk.TesseraID{1}, sdk.TesseraID{2}, sdk.TesseraID{3}
	node := sdk.NodeKey{7}
	update(t, c, func(tx *catalog.Tx) error {
		for _, p := range []catalog.PlanRow{
			{Tessera: mine, Owner: self, Data: 2, Parity: 1, Copies: 1, ShardSize: 10, Own: true},
			{Tessera: theirs, Owner: alice, Data: 2, Parity: 1, Copies: 1, ShardSize: 20},
		} {
			if err := tx.PutPlan(p); err != nil {
				return err
			}
		}
		for _, f := range []catalog.FragmentRef{
			{Tessera: theirs, Index: 0, Size: 20, Hash: digest.Hash{1}},
			{Tessera: theirs, Index: 2, Size: 20, Hash: digest.Hash{2}},
			{Tessera: unplanned, Index: 0, Size: 99, Hash: digest.Hash{3}},
			{Tessera: mine, Index: 1, Size: 10, Hash: digest.Hash{4}},
		} {
			if _, err := tx.AddFragment(f); err != nil {
				return err
			}
		}
		for _, h := range []catalog.Holder{
			{Tessera: mine, Key: node, Owner: bob, Fragments: []catalog.HeldFragment{{Index: 0, Acked: time.Unix(1, 0)}, {Index: 2, Acked: time.Unix(1, 0)}}},
			{Tessera: mine, Key: sdk.NodeKey{8}, Owner: self, Fragments: []catalog.HeldFragment{{Index: 0, Acked: time.Unix(1, 0)}}},
			{Tessera: theirs, Key: node, Owner: bob, Fragments: []catalog.HeldFragment{{Index: 1, Acked: time.Unix(1, 0)}}},
		} {
			if err := tx.PutHolder(h); err != nil {
				return err
			}
		}
		if err := ledger.Kept(tx, self, alice, 40); err != nil {
			return err
		}
		return ledger.Acknowledged(tx, self, bob, 20)
	})
	check := func(want ...ledger.Mismatch) {
		t.Helper()
		err := c.View(func(tx *catalog.Tx) error {
			got, err := ledger.Mismatches(tx, self)
			if len(got) != len(want) {
				t.Errorf("mismatches %+v, want %+v", got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("mismatch %+v, want %+v", got[i], want[i])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	for owner, want := range map[sdk.OwnerKey]ledger.Account{bob: {Given: 20}, alice: {Kept: 40, Given: 20}, self: {}} {
		err := c.View(func(tx *catalog.Tx) error {
			got, err := ledger.AccountOf(tx, self, node, owner)
			if got != want {
				t.Errorf("account with %s: %+v, want %+v", owner.Short(), got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(t, c, func(tx *catalog.Tx) error { _, err := tx.AddLedger(alice, -40, 0); return err })
	check(ledger.Mismatch{
		Written: catalog.LedgerRow{Owner: alice},
		Facts:   catalog.LedgerRow{Owner: alice, StoredForThem: 40},
	})
}
