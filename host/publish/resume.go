package publish

import (
	"context"
	"errors"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// Resume is a step of the maintenance cycle: it publishes what the owner wants published and that has
// no plan, because an earlier publish was cut short or the plan is damaged. From the plan on, repair
// cares for it.
func (s *Service) Resume(ctx context.Context) error {
	wanted, err := s.wanted(func(catalog.Tessera) bool { return true })
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range wanted {
		there, err := s.hasPlan(id)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		begun := time.Now()
		r, err := s.Publish(ctx, id, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Log.Info("resumed a publish", "tessera", id.Short(), "placed", r.Placed, "health", string(r.Health.Status), "took", time.Since(begun))
	}
	return errors.Join(errs...)
}

// Settle is a step of the maintenance cycle, after repair: it records what has reached its target
// without a publish of its own, and removes what an interrupted publish left for the next.
func (s *Service) Settle(context.Context) error {
	unsettled, err := s.wanted(func(t catalog.Tessera) bool { return !t.Published })
	if err != nil {
		return err
	}
	for _, id := range unsettled {
		if err := s.settle(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) settle(id sdk.TesseraID) error {
	done := s.Turns.Try(id)
	if done == nil {
		return nil // a publish is at it
	}
	defer done()
	plan, err := s.known(id)
	if plan == nil || err != nil {
		return err
	}
	report, err := s.assess(plan)
	if err != nil || report.Status != health.Healthy {
		return err
	}
	return errors.Join(s.reached(id, report), s.clear(id))
}

// clear removes the spool of a tessera.
func (s *Service) clear(id sdk.TesseraID) error {
	spool, err := s.spool(id)
	if err != nil {
		return err
	}
	return spool.Remove()
}

// wanted lists the tesseras that the owner wants published and that the test lets pass.
func (s *Service) wanted(pass func(catalog.Tessera) bool) (ids []sdk.TesseraID, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			if t.WantPublished && pass(t) {
				ids = append(ids, t.ID)
			}
		}
		return nil
	})
	return ids, err
}

// hasPlan tells whether a tessera has a plan, in the catalog and beside it.
func (s *Service) hasPlan(id sdk.TesseraID) (bool, error) {
	err := s.Catalog.View(func(tx *catalog.Tx) error {
		_, err := tx.Plan(id)
		return err
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	plan, err := s.known(id)
	return plan != nil, err
}
