package holders

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/sdk"
)

// Unsettled gives the records in which what has not counted as held for a whole period still gives credit,
// or what counts again gives none.
func (b *Book) Unsettled(records []Record) (out []Record) {
	for _, r := range records {
		if len(b.settled(r)) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// Settle ends and gives back the credit that Unsettled found, once a round. Fragments and ledger change in
// one transaction.
func (b *Book) Settle(unsettled []Record) error {
	changed := map[sdk.NodeKey][]Credit{}
	for _, r := range unsettled {
		changed[r.Key] = append(changed[r.Key], b.settled(r)...)
	}
	for holder, credits := range changed {
		if err := b.noteCredit(holder, credits); err != nil {
			return err
		}
	}
	return catalog.UpdateEach(b.catalog, unsettled, b.settle)
}

// settled gives what changes in the credit for the fragments of a record.
func (b *Book) settled(r Record) (changed []Credit) {
	for _, f := range r.Fragments {
		held, _ := b.Counts(r, f)
		switch {
		case held && !f.Lapsed.IsZero():
			changed = append(changed, Credit{r.Tessera, f.Index, CreditGiven})
		case !held && f.Credited() && b.now().Sub(ceased(b.config, r, f)) > b.config.Period:
			changed = append(changed, Credit{r.Tessera, f.Index, CreditLapsed})
		}
	}
	return changed
}

// settle does to a row as it is now what settled says.
func (b *Book) settle(tx *catalog.Tx, r Record) error {
	h, err := tx.Holder(r.Tessera, r.Key)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	before := h.Credited()
	for _, c := range b.settled(Record{h, r.Audit}) {
		at, _ := slices.BinarySearchFunc(h.Fragments, c.Index, byIndex)
		if h.Fragments[at].Lapsed = b.now(); c.State == CreditGiven {
			h.Fragments[at].Lapsed = time.Time{}
		}
	}
	plan, err := tx.Plan(r.Tessera)
	if err != nil {
		return fmt.Errorf("settle credit: %w", err)
	}
	if plan.Owner == b.self {
		if err := ledger.Acknowledged(tx, b.self, h.Owner, (h.Credited()-before)*plan.ShardSize); err != nil {
			return err
		}
	}
	return tx.ChangeHolder(h)
}

// ceased is when a fragment that does not count as held ceased to, by the same rules as Counts.
func ceased(c Config, r Record, f catalog.HeldFragment) time.Time {
	end := f.Acked.Add(c.Period)
	if c.Proofs {
		word := earlier(r.Audit.Passed, r.LastSeen).Add(c.Period)
		if !r.Audit.Lapsed.IsZero() {
			word = earlier(word, r.Audit.Lapsed)
		}
		end = later(f.Acked.Add(c.First), word)
	}
	if c.Proofs && Failing(r.Audit) {
		end = earlier(end, r.Audit.Failed)
	}
	end = later(end, f.Proven.Add(c.Period))
	if !r.SilentSince.IsZero() {
		end = earlier(end, r.SilentSince)
	}
	return end
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// verdicts gives what results change in the credit of a holder, and which of them are news of a failure.
func (b *Book) verdicts(holder sdk.NodeKey, results []Result) (changed []Credit, failed []Result, err error) {
	err = b.catalog.View(func(tx *catalog.Tx) error {
		for _, r := range results {
			h, err := tx.Holder(r.Claim.Tessera, holder)
			if errors.Is(err, catalog.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			at, known := slices.BinarySearchFunc(h.Fragments, r.Claim.Index, byIndex)
			switch {
			case !known:
			case r.Outcome == proof.Proven && !h.Fragments[at].Credited():
				changed = append(changed, Credit{r.Claim.Tessera, r.Claim.Index, CreditGiven})
			case r.Outcome == proof.Failed && h.Fragments[at].Failed.IsZero():
				changed = append(changed, Credit{r.Claim.Tessera, r.Claim.Index, CreditFailed})
				failed = append(failed, r)
			}
		}
		return nil
	})
	return changed, failed, err
}
