// Package archive answers: which tesseras are my own, and are they all here?
//
// It keeps the owner's own tesseras on this node, all or nothing: to every observer, and after a crash
// at any instant, a tessera is there whole or it is not there. A tessera is its files, as objects in
// the store; the references to them and the row that makes it visible, in the catalog; and its
// manifest, a plain document beside them.
//
// # How all or nothing comes about
//
// Create stages the files, which nothing refers to yet; then writes an intent, the references in as
// many transactions as they need, the manifest, and at last, in one transaction, the visible row and
// the end of the intent. Delete writes a tombstone, which the owner signed; then, in one transaction,
// takes the visible row and writes an intent; then drops references, files and manifest at leisure.
// Recover undoes the creations and ends the deletions it finds begun.
package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

var (
	// ErrNotFound tells that no tessera of mine has this id, or none an id that starts like this.
	ErrNotFound = errors.New("no such tessera")
	// ErrAmbiguous tells that more than one tessera of mine has an id that starts like this.
	ErrAmbiguous = errors.New("more than one tessera starts with this")
	// ErrShortPrefix tells that a shortened id has fewer than MinPrefix digits.
	ErrShortPrefix = errors.New("a shortened id needs at least 4 digits")
	// ErrDamaged tells that something of a tessera is missing or not what it was.
	ErrDamaged = errors.New("tessera is damaged")
	// ErrDeleted tells that a tessera of this very id was deleted before.
	ErrDeleted = errors.New("tessera was deleted")
	// ErrBusy tells that a tessera is being created or deleted just now.
	ErrBusy = errors.New("tessera is being created or deleted")
	// ErrNoFile tells that a tessera has no file of this path.
	ErrNoFile = errors.New("no such file in the tessera")
)

// MinPrefix is how many digits a shortened id has at least.
const MinPrefix = 4

// The intents of this package.
const (
	intentCreate = "archive.create"
	intentDelete = "archive.delete"
)

// refStep is how many references are dropped in one transaction.
const refStep = 1000

// maxManifest is the largest manifest read, in bytes: a head, a signature line and a file list.
const maxManifest = tessera.MaxHead + 256 + tessera.MaxList

// Deps are what the archive works with.
type Deps struct {
	FS      vfs.FS // the data directory
	CAS     *cas.Store
	Catalog *catalog.Catalog
	Plans   *sidecar.Shelf // where tombstones go
	Owner   tessera.Signer
	Now     func() time.Time // nil is time.Now
	Logger  *slog.Logger     // nil is none
}

// Config bounds what the archive may use. The zero value is good.
type Config struct {
	// Readers is how many files Verify reads at the same time; 0 is 4.
	Readers int

	// reached is told each point a test may want the process to die at.
	reached func(point string)
}

// Archive keeps the owner's tesseras. All its methods may be called at the same time.
type Archive struct {
	cas       *cas.Store
	catalog   *catalog.Catalog
	manifests *sidecar.Shelf
	plans     *sidecar.Shelf
	owner     tessera.Signer
	now       func() time.Time
	log       *slog.Logger
	cfg       Config

	mu   sync.Mutex                 // guards busy, and every change of what is visible
	busy map[sdk.TesseraID]struct{} // being created or deleted by this process
}

// New opens the archive. Recover follows before anything else.
func New(d Deps, cfg Config) (*Archive, error) {
	manifests, err := sidecar.Open(d.FS, sidecar.Tesseras)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Archive{
		cas: d.CAS, catalog: d.Catalog, manifests: manifests, plans: d.Plans, owner: d.Owner,
		now: d.Now, log: d.Logger, cfg: cfg, busy: make(map[sdk.TesseraID]struct{}),
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.cfg.Readers <= 0 {
		a.cfg.Readers = 4
	}
	if a.cfg.reached == nil {
		a.cfg.reached = func(string) {}
	}
	return a, nil
}

// drain takes back all that a tessera which is not visible holds: references, objects nobody else
// needs, manifest, and at last the intent that says so.
func (a *Archive) drain(ctx context.Context, id sdk.TesseraID, kind string) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := a.catalog.Reclaim(func(tx *catalog.Tx) (err error) {
			_, more, err = tx.DropBlobRefs(id, refStep)
			return err
		})
		if err != nil {
			return err
		}
		a.cfg.reached(kind + ": references")
		if _, err := a.catalog.Collect(ctx, a.cas); err != nil {
			return err
		}
		a.cfg.reached(kind + ": objects")
	}
	if err := a.manifests.Remove(id, sidecar.Manifest); err != nil {
		return err
	}
	a.cfg.reached(kind + ": manifest")
	return a.catalog.Reclaim(func(tx *catalog.Tx) error { return tx.DropIntent(id, kind) })
}

// claimLocked keeps Recover away from an id, and others from working on it.
func (a *Archive) claimLocked(id sdk.TesseraID) bool {
	if _, busy := a.busy[id]; busy {
		return false
	}
	a.busy[id] = struct{}{}
	return true
}

func (a *Archive) unclaim(id sdk.TesseraID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, id)
}
