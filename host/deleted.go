package host

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// deleted gives restore.ErrDeleted, with the day, where a tombstone of a tessera's owner is here. A file
// that only looks like one deletes nothing, and neither does one beside a tessera that is visible here.
func (l *local) deleted(id sdk.TesseraID) error {
	if _, err := l.archive.Get(id); err == nil {
		return nil
	}
	text, err := l.documents.Tombstone(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var tomb *tessera.Tombstone
	if err == nil {
		tomb, err = tessera.TombstoneOf(id, text)
	}
	if err == nil {
		err = tomb.Verify(l.buriedBy(tomb))
	}
	if err != nil {
		l.log.Error("a tombstone is not the owner's, nothing is deleted for it", "tessera", id.Short(), "err", err)
		return nil
	}
	return fmt.Errorf("%s: %w on %s", id, restore.ErrDeleted, tomb.Deleted.Format(time.DateOnly))
}

// buriedBy is whose signature a tombstone must have: that of the owner in the plan. Where the plan is gone
// already it was compared when the tombstone came, and its own word has to do.
func (l *local) buriedBy(tomb *tessera.Tombstone) sdk.OwnerKey {
	text, err := l.documents.Plan(tomb.Tessera)
	if err != nil {
		return tomb.Owner
	}
	plan, err := planOf(tomb.Tessera, text)
	if err != nil {
		return tomb.Owner
	}
	return plan.Owner()
}
