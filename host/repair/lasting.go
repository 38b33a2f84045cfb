package repair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
)

// What a round leaves to the next, also where the process ended between them.

// metaRounds names the number of rounds of Custody that were gone through, 8 bytes, big-endian.
const metaRounds = "custody_rounds"

// roundsDone is how many rounds for what is kept for others were gone through on this index.
func (s *Service) roundsDone() (n int, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		b, err := tx.Meta(metaRounds)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err == nil && len(b) != 8 {
			err = fmt.Errorf("%s: %w", metaRounds, catalog.ErrDamaged)
		}
		if err == nil {
			n = int(binary.BigEndian.Uint64(b))
		}
		return err
	})
	return n, err
}

func (s *Service) roundDone(round int) error {
	return s.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutMeta(metaRounds, binary.BigEndian.AppendUint64(nil, uint64(round)))
	})
}

// noteIllness keeps since when a kept tessera is not at its target.
func (s *Service) noteIllness(p *patient) error {
	return s.noteSince(p, &p.row.IllSince, p.report.Status != health.Healthy)
}

// noteSurplus keeps since when a fragment kept here is surplus.
func (s *Service) noteSurplus(p *patient, is bool) error {
	return s.noteSince(p, &p.row.SurplusSince, is)
}

// noteSince keeps in a time of the row since when something is so, zero where it is not. A time that is still to
// come says that the clock was set back, and begins anew.
func (s *Service) noteSince(p *patient, since *time.Time, is bool) error {
	at := *since
	switch {
	case !is:
		at = time.Time{}
	case at.IsZero() || at.After(s.Now()):
		at = s.Now()
	}
	if at.Equal(*since) {
		return nil
	}
	*since = at
	return s.noteRows([]*patient{p})
}

// noteRows keeps in the rows of plans what a round found out about their tesseras, and which text was verified.
func (s *Service) noteRows(patients []*patient) error {
	return catalog.UpdateEach(s.Catalog, patients, func(tx *catalog.Tx, p *patient) error {
		row, err := tx.Plan(p.row.Tessera)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		row.IllSince, row.Verified, row.SurplusSince = p.row.IllSince, p.row.Verified, p.row.SurplusSince
		return tx.PutPlan(row)
	})
}
