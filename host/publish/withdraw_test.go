package publish_test

import (
	"errors"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestEveryHolderIsToldUntilItKnows(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	kept, id := h.creates(t, medium), h.creates(t, medium+1)
	h.publishes(t, kept, health.Healthy)
	h.publishes(t, id, health.Healthy)
	if err := h.archive.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.tellErr[someone(2).Key] = errors.New("out of reach")
	h.tellErr[someone(3).Key] = wire.Refuse(wire.Code_NOT_FOUND, "nothing of it here")
	if err := h.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, plan := h.row(t, id); !plan {
		t.Error("forgotten, though one does not know")
	}
	if !h.Awaits(someone(2).Key) || h.Awaits(someone(1).Key) {
		t.Error("it does not wait for the one that is left")
	}
	delete(h.tellErr, someone(2).Key)
	if err := h.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.told[someone(1).Key] != 1 || h.told[someone(2).Key] != 2 || h.told[someone(3).Key] != 1 {
		t.Errorf("told %v", h.told)
	}
	if _, plan := h.row(t, id); plan || h.Awaits(someone(2).Key) {
		t.Error("not done when all know")
	}
	if _, err := h.Plan(id); err == nil {
		t.Error("the plan is still here")
	}
	if _, err := h.Tombstone(id); err != nil {
		t.Errorf("the tombstone: %v", err)
	}
	var credit uint64
	err := h.catalog.View(func(tx *catalog.Tx) error {
		for row, err := range tx.LedgerRows() {
			if err != nil {
				return err
			}
			credit += row.TheyStoreForUs
		}
		return nil
	})
	r := h.publishes(t, kept, health.Healthy)
	if want := 24 * uint64(r.Plan.ShardSize()); err != nil || credit != want {
		t.Errorf("credit %d, want %d for the other tessera: %v", credit, want, err)
	}
}

func TestAnotherNodesTesseraIsNotWithdrawn(t *testing.T) {
	h := newHouse(t, 0)
	foreign := sdk.TesseraID{7} // own by its key, published from another machine, held here
	err := h.catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutPlan(catalog.PlanRow{Tessera: foreign, Owner: h.owner.Key(), Data: 16, Parity: 8, Copies: 1, ShardSize: 1, Own: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, plan := h.row(t, foreign); !plan || len(h.told) != 0 {
		t.Errorf("withdrawn without the owner's word; told %v", h.told)
	}
}

func TestWhatReachedItsTargetByRepairIsSettled(t *testing.T) {
	h := newHouse(t, 0)
	h.meets(replicas)
	id := h.creates(t, medium)
	h.refuse = errors.New("not now")
	h.publishes(t, id, health.Unrecoverable)
	if err := h.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if own, _ := h.row(t, id); own.Published {
		t.Error("settled before its time")
	}
	plan := h.orders[0].Plan
	for i := range plan.Total() { // as repair does
		if err := h.book.Acknowledge(h.peers[i%replicas], wire.Receipt{
			Tessera: id, Owner: h.owner.Key(), Index: uint32(i), Size: uint64(plan.ShardSize()), HolderOwner: sdk.OwnerKey{1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if own, _ := h.row(t, id); !own.Published || len(h.left(t)) != 0 {
		t.Errorf("recorded %+v, left %v", own, h.left(t))
	}
}
