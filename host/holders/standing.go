package holders

import (
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// Record is a holder of a tessera and what it proved, of this and of everything else.
type Record struct {
	catalog.Holder
	Audit catalog.Audit
}

// Records gives the holders of a tessera with what they proved.
func (b *Book) Records(t sdk.TesseraID) (out []Record, err error) {
	err = b.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.HoldersOf(t) {
			if err != nil {
				return err
			}
			audit, err := tx.Audit(h.Key)
			if err != nil {
				return err
			}
			out = append(out, Record{h, audit})
		}
		return nil
	})
	return out, err
}

// RecordsEach is Records for tesseras by ascending ids, all in one pass.
func (b *Book) RecordsEach(ids []sdk.TesseraID) (out [][]Record, err error) {
	out = make([][]Record, len(ids))
	audits := map[sdk.NodeKey]catalog.Audit{}
	err = b.catalog.View(func(tx *catalog.Tx) error {
		return eachOf(tx, ids, func(at int, all []catalog.Holder) error {
			out[at] = make([]Record, len(all))
			for i, h := range all {
				audit, known := audits[h.Key]
				if !known {
					var err error
					if audit, err = tx.Audit(h.Key); err != nil {
						return err
					}
					audits[h.Key] = audit
				}
				out[at][i] = Record{h, audit}
			}
			return nil
		})
	})
	return out, err
}

// Failing tells that a node failed a proof and has not passed all that it was asked since.
func Failing(a catalog.Audit) bool { return !a.Failed.IsZero() && !a.Passed.After(a.Failed) }

// Counts tells whether a fragment counts as held by its holder, and as proven.
func (b *Book) Counts(r Record, f catalog.HeldFragment) (held, proven bool) {
	return b.CountsAt(r, f, b.now())
}

// CountsAt is Counts as of a time, by what is known since.
func (b *Book) CountsAt(r Record, f catalog.HeldFragment, at time.Time) (held, proven bool) {
	if !r.SilentSince.IsZero() || !f.Failed.IsZero() {
		return false, false
	}
	limit := at.Add(-b.config.Period)
	if f.Proven.After(limit) {
		return true, true
	}
	if !b.config.Proofs {
		return f.Acked.After(limit), false
	}
	if Failing(r.Audit) {
		return false, false // its word and its receipts are worth nothing now
	}
	if f.Acked.After(at.Add(-b.config.First)) {
		return true, false
	}
	sampled := r.Audit.Lapsed.IsZero() && r.Audit.Passed.After(limit)
	return sampled && r.LastSeen.After(limit), false
}

// Standing turns records into what health counts.
func (b *Book) Standing(records []Record) []health.Holder { return b.StandingAt(records, b.now()) }

// StandingAt is Standing as of a time, by what is known since.
func (b *Book) StandingAt(records []Record, at time.Time) []health.Holder {
	out := make([]health.Holder, 0, len(records))
	for _, r := range records {
		h := health.Holder{Peer: r.Key.String(), Subnet: SubnetOf(r.Holder), Operator: b.config.Operator(r.Key, r.Owner)}
		for _, f := range r.Fragments {
			held, proven := b.CountsAt(r, f, at)
			if held {
				h.Held = append(h.Held, f.Index)
			}
			if proven {
				h.Proven = append(h.Proven, f.Index)
			}
		}
		out = append(out, h)
	}
	return out
}

// Health is what a tessera can still lose, by what its holders proved and, until their first proof, signed
// for.
func (b *Book) Health(t sdk.TesseraID, shape health.Shape) (health.Report, error) {
	records, err := b.Records(t)
	if err != nil {
		return health.Report{}, err
	}
	return health.Assess(shape, b.Standing(records), b.config.Replicas), nil
}

// Periods gives, for an interval between rounds and its jitter, how long a receipt counts until the first
// proof, and how long a proof counts: a day, or where rounds are so far apart as long as one and two
// rounds take, so that nothing ceases to count only because its next proof is not due yet.
func Periods(interval, jitter time.Duration) (first, period time.Duration) {
	return max(ProofPeriod, interval+2*jitter), max(ProofPeriod, 2*(interval+jitter))
}
