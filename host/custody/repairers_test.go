package custody_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// used is what the books say about the custody budget.
func (r *room) used(t *testing.T) (used uint64) {
	t.Helper()
	err := r.catalog.View(func(tx *catalog.Tx) (err error) { used, err = tx.CustodyUsed(); return err })
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func (r *room) account(t *testing.T, owner sdk.OwnerKey) (row catalog.LedgerRow) {
	t.Helper()
	err := r.catalog.View(func(tx *catalog.Tx) (err error) { row, err = tx.Ledger(owner); return err })
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// repairer is somebody else than the owner.
func repairer(t *testing.T) custody.Sender {
	t.Helper()
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	return custody.Sender{Key: id.Node.Key(), ID: id.Node.ID(), Owner: id.Owner.Key()}
}

func TestARepairerProvesWhatItHolds(t *testing.T) {
	r, o, from := newRoom(t), newOffer(t), repairer(t)
	var asked []proof.Claim
	var answer error
	r.Proves = func(_ context.Context, holder sdk.NodeKey, c proof.Claim) error {
		if holder != from.Key {
			t.Errorf("%x was challenged", holder[:2])
		}
		asked = append(asked, c)
		return answer
	}
	bring := func(index, holds int) error {
		q := o.header(index)
		q.Purpose, q.Holds = wire.Purpose_CUSTODY, uint32(holds)
		_, err := r.Replicate(t.Context(), from, q, bytes.NewReader(o.shards[index]))
		return err
	}
	if err := bring(0, 0); err != nil || len(asked) != 0 || r.asked.SenderProved {
		t.Errorf("one that names nothing: %v, asked %v, the policy is told %v", err, asked, r.asked.SenderProved)
	}
	answer = proof.ErrWrong
	if err := bring(1, 5); err != nil || len(asked) != 1 || r.asked.SenderProved {
		t.Errorf("one that proves nothing: %v, the policy is told %v", err, r.asked.SenderProved)
	}
	answer = nil
	if err := bring(2, 5); err != nil || len(asked) != 2 || !r.asked.SenderProved {
		t.Errorf("one that proves it: %v, the policy is told %v", err, r.asked.SenderProved)
	}
	if c := asked[1]; c.Tessera != o.plan.Tessera || c.Index != 4 || c.Checksum != o.plan.Fragments[4] || c.Size != o.plan.ShardSize() {
		t.Errorf("challenged for %+v", c)
	}
	if err := bring(3, 5); err != nil || len(asked) != 2 || !r.asked.SenderProved {
		t.Errorf("and again: %v, challenged %d times", err, len(asked))
	}
	if err := bring(4, 77); wire.CodeOf(err) != wire.Code_MALFORMED {
		t.Errorf("a fragment that the plan has not: %v", err)
	}
}

func TestTheCustodyBudgetIsCharged(t *testing.T) {
	r, o, from := newRoom(t), newOffer(t), repairer(t)
	r.Proves = func(context.Context, sdk.NodeKey, proof.Claim) error { return nil }
	shard := uint64(o.plan.ShardSize())
	for index, custody := range []bool{true, false, true} {
		r.answer = &policy.Admission{Verdict: policy.Accept, Custody: custody}
		q := o.header(index)
		q.Purpose, q.Holds = wire.Purpose_CUSTODY, 5
		if _, err := r.Replicate(t.Context(), from, q, bytes.NewReader(o.shards[index])); err != nil {
			t.Fatal(err)
		}
	}
	if used := r.used(t); used != 2*shard {
		t.Errorf("%d bytes on the custody budget, want two shards of %d", used, shard)
	}
	if row := r.account(t, o.who.Owner.Key()); row.StoredForThem != 3*shard {
		t.Errorf("%d bytes in the account of the plan's owner", row.StoredForThem)
	}
	if row := r.account(t, from.Owner); row.StoredForThem != 0 {
		t.Error("the repairer is charged")
	}
	q := o.header(3)
	if _, err := r.Replicate(t.Context(), o.sender, q, bytes.NewReader(o.shards[3])); err != nil || r.asked.CustodyUsed != 2*shard {
		t.Errorf("the policy is told of %d bytes, %v", r.asked.CustodyUsed, err)
	}
	for index := range 4 {
		if err := r.Yield(t.Context(), o.plan.Tessera, index); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Yield(t.Context(), o.plan.Tessera, 0); err != nil {
		t.Errorf("given up twice: %v", err)
	}
	if used, row := r.used(t), r.account(t, o.who.Owner.Key()); used != 0 || row.StoredForThem != 0 {
		t.Errorf("after all was given up: %d on the budget, %d in the account", used, row.StoredForThem)
	}
	if here, err := r.objects.Contains(o.plan.Fragments[0]); err != nil || here {
		t.Errorf("the object is here still: %v, %v", here, err)
	}
}

func TestAHolderTakesItsOwnShare(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	if err := r.Keep(t.Context(), o.plan, 2, bytes.NewReader(o.shards[2])); err != nil {
		t.Fatal(err)
	}
	if !r.asked.SenderProved || r.asked.Purpose != sdk.Purpose_CUSTODY || len(r.journal.kept) != 0 {
		t.Errorf("asked %+v, %d receipts", r.asked, len(r.journal.kept))
	}
	if err := r.Keep(t.Context(), o.plan, 3, bytes.NewReader(o.shards[2])); wire.CodeOf(err) != wire.Code_HASH_MISMATCH {
		t.Errorf("wrong bytes of its own making: %v", err)
	}
	r.answer = &policy.Admission{Verdict: policy.Refuse, Reason: "full"}
	if err := r.Keep(t.Context(), o.plan, 4, bytes.NewReader(o.shards[4])); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("taken against the policy: %v", err)
	}
}
