package holders

import (
	"errors"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Result is how one challenge of a round ended.
type Result struct {
	Claim     proof.Claim
	Owner     sdk.OwnerKey // of the tessera
	Nonce     [32]byte
	Outcome   proof.Outcome
	Statement wire.ProofStatement // what the holder signed; zero where it signed nothing
}

// Audited records how a holder answered the challenges of a round, all in one transaction: what was proven
// counts anew, what failed counts no more and its credit lapses, what is open is asked again. Every
// holder has one grace for what stays open; after it what it holds is unproven until it passes again.
func (b *Book) Audited(holder sdk.NodeKey, results []Result) error {
	if len(results) == 0 {
		return nil
	}
	proven := map[sdk.TesseraID]bool{}
	err := b.catalog.Update(func(tx *catalog.Tx) error {
		row, err := tx.Audit(holder)
		if err != nil {
			return err
		}
		audit := audit{row}
		for _, r := range results {
			if proven[r.Claim.Tessera], err = b.judge(tx, holder, r); err != nil {
				return err
			}
			audit.note(r, b.now())
		}
		audit.close(results, b.now())
		return tx.PutAudit(audit.Audit)
	})
	if err != nil {
		return err
	}
	for t, is := range proven {
		b.proofs.note(t, holder, is)
	}
	return nil
}

// judge takes one result to the row of its fragment, and tells whether the holder has now proven any of
// the tessera.
func (b *Book) judge(tx *catalog.Tx, holder sdk.NodeKey, r Result) (proven bool, err error) {
	h, err := tx.Holder(r.Claim.Tessera, holder)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	at, known := slices.BinarySearchFunc(h.Fragments, r.Claim.Index, byIndex)
	if !known {
		return hasProof(h), nil
	}
	before := h.Credited()
	switch f := &h.Fragments[at]; r.Outcome {
	case proof.Proven:
		f.Proven, f.Failed = b.now(), time.Time{}
	case proof.Failed:
		f.Acked, f.Proven, f.Failed = time.Time{}, time.Time{}, b.now()
	case proof.Gone:
		h.Fragments = slices.Delete(h.Fragments, at, at+1)
	default:
		return hasProof(h), nil
	}
	if r.Owner == b.self {
		change := (h.Credited() - before) * r.Claim.Size
		if err := ledger.Acknowledged(tx, b.self, h.Owner, change); err != nil {
			return false, err
		}
	}
	if len(h.Fragments) == 0 {
		return false, tx.DropHolder(r.Claim.Tessera, holder)
	}
	return hasProof(h), tx.PutHolder(h)
}

type audit struct{ catalog.Audit }

// note counts one result and keeps its evidence. Of the proven only the newest is kept, so that a long
// good life does not push out the evidence of a lie.
func (a *audit) note(r Result, now time.Time) {
	a.Asked++
	switch {
	case r.Outcome == proof.Proven:
		a.Proven++
		a.Evidence = slices.DeleteFunc(a.Evidence, func(e catalog.Evidence) bool { return e.Outcome == int(proof.Proven) })
	case r.Outcome == proof.Failed:
		a.Failures++
	case r.Outcome.Open():
		a.Unanswered++
	}
	s := r.Statement
	a.Evidence = append(a.Evidence, catalog.Evidence{
		Outcome: int(r.Outcome), Time: now, Tessera: r.Claim.Tessera, Index: r.Claim.Index, Checksum: r.Claim.Checksum,
		Nonce: r.Nonce, HolderTime: s.Time, Slices: s.Slices, Whole: s.Whole, Signature: s.Signature,
	})
}

// close draws the consequence of a round.
func (a *audit) close(results []Result, now time.Time) {
	a.Open = nil
	all, refused := true, false
	for _, r := range results {
		all = all && (r.Outcome == proof.Proven || r.Outcome == proof.Gone)
		if r.Outcome == proof.Failed {
			a.Failed = now
		}
		refused = refused || r.Outcome == proof.Late || r.Outcome == proof.Busy
		if r.Outcome.Open() && a.Open == nil {
			a.Open = &catalog.OpenChallenge{Since: now, Tessera: r.Claim.Tessera, Index: r.Claim.Index, Nonce: r.Nonce}
		}
	}
	switch {
	case all:
		a.Passed, a.Lapsed = now, time.Time{}
	case !refused: // who was not there is silent, and that is dealt with elsewhere
	case a.Grace.IsZero():
		a.Grace = now
	case a.Lapsed.IsZero():
		a.Lapsed = now
	}
}

// Audit is what is written down about a node's proofs, all zero where it was never asked.
func (b *Book) Audit(holder sdk.NodeKey) (a catalog.Audit, err error) {
	err = b.catalog.View(func(tx *catalog.Tx) error {
		a, err = tx.Audit(holder)
		return err
	})
	return a, err
}
