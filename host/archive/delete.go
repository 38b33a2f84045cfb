package archive

import (
	"context"
	"fmt"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Delete deletes a tessera for good: the owner's signed tombstone is on stable storage before anything
// else happens, and stays. The tessera is invisible at once; its files go, but for those that others
// need, before Delete returns. When ctx ends before that the rest is left to Recover, and it is no
// error. What peers hold, and the plan they hold it by, is not touched: who publishes sees to that.
func (a *Archive) Delete(ctx context.Context, id sdk.TesseraID) error {
	if err := a.delete(ctx, id); err != nil {
		return fmt.Errorf("delete %s: %w", id.Short(), err)
	}
	a.log.Info("tessera deleted", "tessera", id.Short())
	return nil
}

func (a *Archive) delete(ctx context.Context, id sdk.TesseraID) error {
	if err := a.hide(id); err != nil {
		return err
	}
	defer a.unclaim(id)
	a.cfg.reached(intentDelete + ": invisible")
	err := a.drain(ctx, id, intentDelete)
	if err != nil && ctx.Err() != nil {
		a.log.Info("tessera is deleted, its files go at the next start", "tessera", id.Short())
		return nil
	}
	if err != nil {
		return fmt.Errorf("it is deleted, but its files are not all removed yet: %w", err)
	}
	return nil
}

// hide claims a tessera, signs its tombstone and makes it invisible.
func (a *Archive) hide(id sdk.TesseraID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.visible(id); err != nil {
		return err
	}
	if !a.claimLocked(id) {
		return ErrBusy
	}
	err := a.bury(id)
	if err != nil {
		delete(a.busy, id)
	}
	return err
}

// visible gives ErrNotFound for a tessera that is not.
func (a *Archive) visible(id sdk.TesseraID) error {
	_, err := a.Get(id)
	return err
}

func (a *Archive) bury(id sdk.TesseraID) error {
	t, err := tessera.SignTombstone(id, a.now(), a.owner)
	if err != nil {
		return err
	}
	if err := a.plans.Write(id, sidecar.Tombstone, t.Bytes()); err != nil {
		return err
	}
	a.cfg.reached(intentDelete + ": tombstone")
	return a.turnInvisible(id)
}

func (a *Archive) turnInvisible(id sdk.TesseraID) error {
	return a.catalog.Reclaim(func(tx *catalog.Tx) error {
		if err := tx.DropTessera(id); err != nil {
			return err
		}
		return tx.PutIntent(catalog.Intent{Tessera: id, Kind: intentDelete, Started: a.now()})
	})
}
