package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Recover undoes creations and ends deletions that an earlier process left halfway. It comes first
// after New, and may be called again at any time.
func (a *Archive) Recover(ctx context.Context) error {
	err := a.recover(ctx)
	if err != nil {
		return fmt.Errorf("recover archive: %w", err)
	}
	return nil
}

func (a *Archive) recover(ctx context.Context) error {
	if err := a.finishTombstones(); err != nil {
		return err
	}
	intents, err := a.intents()
	if err != nil {
		return err
	}
	for _, i := range intents {
		if err := a.resume(ctx, i); err != nil {
			return fmt.Errorf("%s of %s: %w", i.Kind, i.Tessera.Short(), err)
		}
	}
	_, err = a.catalog.Collect(ctx, a.cas)
	return err
}

// finishTombstones hides tesseras whose tombstone was written by a process that got no further.
func (a *Archive) finishTombstones() error {
	all, err := a.List()
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := a.finishTombstone(t.ID); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) finishTombstone(id sdk.TesseraID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, busy := a.busy[id]; busy {
		return nil
	}
	dead, err := a.buried(id)
	if err != nil || !dead {
		return err
	}
	return a.turnInvisible(id)
}

// buried tells whether there is a tombstone that the owner signed. Only that deletes.
func (a *Archive) buried(id sdk.TesseraID) (bool, error) {
	return a.plans.Buried(id, a.owner.Key(), a.log)
}

func (a *Archive) intents() (mine []catalog.Intent, err error) {
	err = a.catalog.View(func(tx *catalog.Tx) error {
		for i, err := range tx.Intents() {
			if err != nil {
				return err
			}
			if i.Kind == intentCreate || i.Kind == intentDelete {
				mine = append(mine, i)
			}
		}
		return nil
	})
	return mine, err
}

// resume drains a tessera that is not visible, unless this process is at work on it.
func (a *Archive) resume(ctx context.Context, i catalog.Intent) error {
	a.mu.Lock()
	free := a.claimLocked(i.Tessera)
	a.mu.Unlock()
	if !free {
		return nil
	}
	defer a.unclaim(i.Tessera)
	still, err := a.stillIntended(i)
	if err != nil || !still {
		return err
	}
	a.log.Info("finishing what was left halfway", "intent", i.Kind, "tessera", i.Tessera.Short(), "since", i.Started)
	return a.drain(ctx, i.Tessera, i.Kind)
}

// stillIntended looks again now that nobody else can be at it.
func (a *Archive) stillIntended(i catalog.Intent) (still bool, err error) {
	err = a.catalog.View(func(tx *catalog.Tx) error {
		_, err := tx.Intent(i.Tessera, i.Kind)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		still = err == nil
		return err
	})
	return still, err
}
