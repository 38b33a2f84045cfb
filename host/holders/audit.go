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

// Audited records how a holder answered a round's sample of all that it claims, all in one transaction:
// what was proven counts anew, what failed counts no more and its credit lapses, what is open is asked
// again. Every holder has one grace for what stays open; after it what it holds is unproven until it
// passes again, and it passes only with a round in which it proved everything it was asked, and after which
// nothing is open.
func (b *Book) Audited(holder sdk.NodeKey, results []Result) error {
	return b.audited(holder, results, (*audit).close)
}

// Challenged records how a holder answered challenges that were no sample of all that it claims. They are
// evidence, and tell of these fragments alone: nobody passes with them, and nobody lapses.
func (b *Book) Challenged(holder sdk.NodeKey, results []Result) error {
	return b.audited(holder, results, func(*audit, []Result, time.Time) {})
}

func (b *Book) audited(holder sdk.NodeKey, results []Result, end func(*audit, []Result, time.Time)) error {
	if len(results) == 0 {
		return nil
	}
	changed, failed, err := b.verdicts(holder, results)
	if err = errors.Join(err, b.noteFailed(holder, failed), b.noteCredit(holder, changed)); err != nil {
		return err
	}
	proven := map[sdk.TesseraID]bool{}
	err = b.catalog.Update(func(tx *catalog.Tx) error {
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
		if err := audit.dropMoot(tx); err != nil {
			return err
		}
		end(&audit, results, b.now())
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
// the tessera. What is gone was taken from the row by the attestation that said so.
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
		f.Proven, f.Failed, f.Lapsed = b.now(), time.Time{}, time.Time{}
		b.losses.madeGood(h.Tessera, holder, f.Index)
	case proof.Failed:
		f.Acked, f.Proven, f.Failed = time.Time{}, time.Time{}, b.now()
		b.losses.note(h, []int{f.Index}, b.now())
	default:
		return hasProof(h), nil
	}
	if r.Owner == b.self {
		change := (h.Credited() - before) * r.Claim.Size
		if err := ledger.Acknowledged(tx, b.self, h.Owner, change); err != nil {
			return false, err
		}
	}
	return hasProof(h), tx.ChangeHolder(h)
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
		a.Failed = now
	case r.Outcome == proof.Gone:
		a.Gone = append(a.Gone, catalog.GoneFragment{Tessera: r.Claim.Tessera, Index: r.Claim.Index})
	case r.Outcome.Open():
		a.Unanswered++
	}
	if a.leftOpen(r) && !r.Outcome.Open() {
		a.Open = nil
	}
	s := r.Statement
	a.Evidence = append(a.Evidence, catalog.Evidence{
		Outcome: int(r.Outcome), Time: now, Tessera: r.Claim.Tessera, Index: r.Claim.Index, Checksum: r.Claim.Checksum,
		Nonce: r.Nonce, HolderTime: s.Time, Slices: s.Slices, Whole: s.Whole, Signature: s.Signature,
	})
}

// leftOpen tells whether a result is that of the very challenge that was left open.
func (a *audit) leftOpen(r Result) bool {
	o := a.Open
	return o != nil && o.Tessera == r.Claim.Tessera && o.Index == r.Claim.Index && o.Nonce == r.Nonce
}

// dropMoot forgets an open challenge that no round will repeat: for a fragment that the holder does not claim any
// more, and so has no credit for, or of a tessera that this node does not look after any more.
func (a *audit) dropMoot(tx *catalog.Tx) error {
	if a.Open == nil {
		return nil
	}
	h, err := tx.Holder(a.Open.Tessera, a.Key)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	_, claimed := slices.BinarySearchFunc(h.Fragments, a.Open.Index, byIndex)
	cared, err := caredFor(tx, a.Open.Tessera)
	if err == nil && !(claimed && cared) {
		a.Open = nil
	}
	return err
}

// caredFor tells whether rounds of this node ask about a tessera: it is an own one, or some of it is kept here.
func caredFor(tx *catalog.Tx, t sdk.TesseraID) (bool, error) {
	if _, err := tx.Tessera(t); !errors.Is(err, catalog.ErrNotFound) {
		return err == nil, err
	}
	return tx.KeepsAny(t)
}

// close draws the consequence of a round. Whoever is asked has just attested, so that no answer at all is a
// refusal too. Nobody passes while a challenge is open: the sample of a round for what is kept for others is drawn
// of other claims than that for what is the owner's, and proving those is no answer to it.
func (a *audit) close(results []Result, now time.Time) {
	all, refused := true, false
	for _, r := range results {
		all = all && r.Outcome == proof.Proven
		if !r.Outcome.Open() {
			continue
		}
		if !refused && !a.leftOpen(r) {
			a.Open = &catalog.OpenChallenge{Since: now, Tessera: r.Claim.Tessera, Index: r.Claim.Index, Nonce: r.Nonce}
		}
		refused = true
	}
	switch {
	case all && a.Open == nil:
		a.Passed, a.Lapsed = now, time.Time{}
	case !refused: // it failed, gave something up, or was asked for other things than what is open
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
