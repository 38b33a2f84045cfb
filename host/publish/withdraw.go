package publish

import (
	"context"
	"errors"
	"io/fs"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Forgetter hands a holder the owner's signed deletion.
type Forgetter interface {
	Forget(ctx context.Context, to identity.Contact, tombstone []byte) (removed int, err error)
}

// Withdraw is a step of the maintenance cycle: it tells the holders of tesseras that the owner
// deleted, each until it has answered. What nobody holds any more is forgotten here too, but for the
// tombstone.
func (s *Service) Withdraw(ctx context.Context) error {
	gone, err := s.deleted()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range gone {
		errs = append(errs, s.withdraw(ctx, id))
	}
	return errors.Join(errs...)
}

// Awaits tells whether a holder does not know of a deletion yet that it was or is being told of: should
// it come back, the next round is worth beginning.
func (s *Service) Awaits(holder sdk.NodeKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.untold[holder]) > 0
}

func (s *Service) await(holder sdk.NodeKey, t sdk.TesseraID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untold[holder] == nil {
		s.untold[holder] = map[sdk.TesseraID]bool{}
	}
	s.untold[holder][t] = true
}

func (s *Service) knows(holder sdk.NodeKey, t sdk.TesseraID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.untold[holder], t); len(s.untold[holder]) == 0 {
		delete(s.untold, holder)
	}
}

// deleted lists own tesseras that have a plan still but are no longer there.
func (s *Service) deleted() (gone []sdk.TesseraID, err error) {
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		for p, err := range tx.Plans(sdk.TesseraID{}) {
			if err != nil {
				return err
			}
			if _, err := tx.Tessera(p.Tessera); p.Own && errors.Is(err, catalog.ErrNotFound) {
				gone = append(gone, p.Tessera)
			}
		}
		return nil
	})
	return gone, err
}

func (s *Service) withdraw(ctx context.Context, id sdk.TesseraID) error {
	done, err := s.Turns.Take(ctx, id) // a publish under way may still find holders
	if err != nil {
		return err
	}
	defer done()
	tombstone, err := s.Documents.Tombstone(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an own tessera that lives on another of the owner's nodes
	}
	if err != nil {
		return err
	}
	rows, err := s.Book.Of(id)
	if err != nil {
		return err
	}
	left := 0
	for _, h := range rows {
		s.await(h.Key, id)
		told, err := s.tell(ctx, h, tombstone)
		if err != nil {
			return err
		}
		if !told {
			left++
			continue
		}
		s.knows(h.Key, id)
	}
	if left > 0 {
		return nil // again in the next round
	}
	// the row goes last: it is what says that there is something to withdraw
	if err := errors.Join(s.Documents.DropPlan(id), s.clear(id)); err != nil {
		return err
	}
	return s.Catalog.Reclaim(func(tx *catalog.Tx) error { return tx.DropPlan(id) })
}

// tell hands the tombstone to one holder. One that has nothing of the tessera has been told before.
func (s *Service) tell(ctx context.Context, h catalog.Holder, tombstone []byte) (told bool, err error) {
	contact, ok := holders.Contact(h)
	if !ok {
		return false, nil
	}
	_, err = s.Forgetter.Forget(ctx, contact, tombstone)
	if err != nil && wire.CodeOf(err) != wire.Code_NOT_FOUND {
		s.Log.Info("a holder could not be told of a deletion", "tessera", h.Tessera.Short(), "peer", contact.ID().Short(), "err", err)
		return false, ctx.Err()
	}
	return true, s.Book.Forgotten(h.Tessera, h.Key)
}
