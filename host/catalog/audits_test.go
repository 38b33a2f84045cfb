package catalog

import (
	"testing"
	"time"
)

func TestAuditRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		full := Audit{
			Key: node(2), Passed: noon, Failed: noon.Add(time.Hour), Grace: noon.Add(2 * time.Hour), Lapsed: noon.Add(3 * time.Hour),
			Asked: 9, Proven: 5, Failures: 1, Unanswered: 3,
			Open: &OpenChallenge{Since: noon, Tessera: id(3), Index: 200, Nonce: hash(4)},
		}
		for i := range MaxEvidence + 3 {
			full.Evidence = append(full.Evidence, Evidence{
				Outcome: i, Time: noon, Tessera: id(1), Index: i, Checksum: hash(1), Nonce: hash(2),
				HolderTime: noon, Slices: hash(3), Whole: hash(4), Signature: [64]byte{5, 63: 6},
			})
		}
		for i := range MaxGone + 2 {
			full.Gone = append(full.Gone, GoneFragment{id(6), i})
		}
		update(t, c, func(tx *Tx) error {
			must(t, tx.PutAudit(Audit{Key: node(1)}))
			return tx.PutAudit(full)
		})
		view(t, c, func(tx *Tx) error {
			got, err := tx.Audit(node(2))
			must(t, err)
			full.Evidence, full.Gone = full.Evidence[3:], full.Gone[2:]
			same(t, got, full)
			none, err := tx.Audit(node(7))
			must(t, err)
			same(t, none, Audit{Key: node(7)})
			every, err := all(tx.Audits())
			must(t, err)
			same(t, every, []Audit{{Key: node(1)}, full})
			return nil
		})
		update(t, c, func(tx *Tx) error { return tx.DropAudit(node(2)) })
		view(t, c, func(tx *Tx) error {
			got, err := tx.Audit(node(2))
			must(t, err)
			same(t, got, Audit{Key: node(2)})
			return nil
		})
	})
}
