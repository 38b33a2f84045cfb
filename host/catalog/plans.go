package catalog

import (
	"errors"
	"iter"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/sdk"
)

// PlanRow sums up a plan whose document lies beside the index. Where the two differ the signed
// document is right.
type PlanRow struct {
	Tessera   sdk.TesseraID
	Owner     sdk.OwnerKey
	Tier      int
	Data      int
	Parity    int
	Copies    int
	ShardSize int64 // bytes
	Own       bool  // of a tessera of mine, not only kept for somebody
	// IllSince, when set, is since when the tessera, kept for somebody, is known not to be at its target.
	IllSince time.Time
	// Verified, when set, is the hash of the plan's text whose signatures were verified.
	Verified digest.Hash
	// SurplusSince, when set, is since when a fragment kept here is to be given up: another holder has it too.
	SurplusSince time.Time
}

// RowOf sums up a plan whose signatures were verified, on a node of self.
func RowOf(plan *fragment.FragmentPlan, self sdk.OwnerKey) PlanRow {
	return PlanRow{
		Tessera: plan.Tessera, Owner: plan.Owner(), Tier: int(plan.Tier), Data: plan.Data, Parity: plan.Parity,
		Copies: plan.Copies, ShardSize: plan.ShardSize(), Own: plan.Owner() == self, Verified: digest.Of(plan.Bytes()),
	}
}

// Total is the number of fragments the plan lists.
func (p PlanRow) Total() int { return p.Data + p.Parity }

// PutPlan writes the row, replacing the one of the same tessera.
func (tx *Tx) PutPlan(p PlanRow) error {
	v := newValue().
		raw(p.Owner[:]).uint(uint64(p.Tier)).uint(uint64(p.Data)).uint(uint64(p.Parity)).
		uint(uint64(p.Copies)).uint(uint64(p.ShardSize)).flag(p.Own)
	surplus := !p.SurplusSince.IsZero()
	verified := surplus || p.Verified != (digest.Hash{})
	if verified || !p.IllSince.IsZero() {
		v = v.time(p.IllSince)
	}
	if verified {
		v = v.raw(p.Verified[:])
	}
	if surplus {
		v = v.time(p.SurplusSince)
	}
	return tx.set(tesseraKey(kindPlan, p.Tessera), v)
}

// Plan gives the row of a tessera's plan, or ErrNotFound.
func (tx *Tx) Plan(t sdk.TesseraID) (PlanRow, error) {
	return one(tx, tesseraKey(kindPlan, t), decodePlan)
}

// Plans gives all plans, at or after a tessera's id, in order of the ids.
func (tx *Tx) Plans(from sdk.TesseraID) iter.Seq2[PlanRow, error] {
	return list(tx, []byte{kindPlan}, tesseraKey(kindPlan, from), decodePlan)
}

// DropPlan forgets a plan, and what was wrong with its document. One that has no row is no error.
func (tx *Tx) DropPlan(t sdk.TesseraID) error {
	if err := tx.DropBadDocument(t, DocPlan); err != nil {
		return err
	}
	return tx.del(tesseraKey(kindPlan, t))
}

func decodePlan(r row) (p PlanRow, err error) {
	k := openKey("plan", r.key[1:])
	p.Tessera = k.tessera()
	v := openValue("plan", r.value)
	p.Owner = v.owner()
	p.Tier, p.Data, p.Parity, p.Copies = int(v.uint()), int(v.uint()), int(v.uint()), int(v.uint())
	p.ShardSize, p.Own = int64(v.uint()), v.flag()
	if len(v.b) > 0 {
		p.IllSince = v.time()
	}
	if len(v.b) > 0 {
		copy(p.Verified[:], v.raw(len(p.Verified)))
	}
	if len(v.b) > 0 {
		p.SurplusSince = v.time()
	}
	return p, errors.Join(k.done(), v.done())
}
