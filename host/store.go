package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/cache"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/scrub"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/sweep"
	"github.com/tesseras/tesseras/host/vfs"
)

// store is the half of a node that needs no network: what is on this disk. Opening it takes the data
// directory for this process alone.
type store struct {
	dataDir   string
	dir       *vfs.Dir
	id        *identity.Identity
	catalog   *catalog.Catalog
	journal   *journal.Journal
	objects   *cas.Store
	documents documents
	archive   *archive.Archive
	fragments *cache.Cache // the objects, by way of memory
	sweeper   *sweep.Service
	scrubber  *scrub.Service
	disk      *disk
}

// openStore opens the data directory and finishes what a crash cut short. It is the only way
// to open one, for the daemon, the command line and the tests alike; tests may see the disk through a seam.
func openStore(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger, seams ...seam) (s *store, err error) {
	s = &store{dataDir: dataDir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open %s: %w", dataDir, err), s.close())
			s = nil
		}
	}()
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return s, err
	}
	if s.dir, err = vfs.OpenDir(dataDir); err != nil {
		return s, err
	}
	version, err := layoutVersion(s.dir)
	if err != nil {
		return s, err
	}
	// the index comes before all that is written: its lock is that of the whole directory
	var empty bool
	s.catalog, empty, err = openIndex(filepath.Join(dataDir, "index"), catalog.Options{
		IndexCache: int64(cfg.Performance.IndexCache),
		LockWait:   lockWait(cfg.Storage.LockWait.Std()),
		Logger:     log,
	})
	if err != nil {
		return s, err
	}
	if version < catalog.StorageVersion {
		if err := markLayout(s.dir, log); err != nil {
			return s, err
		}
	}
	if s.id, err = identity.LoadOrCreate(filepath.Join(dataDir, "identity"), cfg.Network.PowBits); err != nil {
		return s, err
	}
	files := vfs.FS(s.dir)
	for _, through := range seams {
		files = through(files)
	}
	if s.journal, err = journal.Open(files, "journal", journal.Config{Logger: log}); err != nil {
		return s, err
	}
	s.objects, err = cas.New(files, cas.Config{
		MinFree: uint64(cfg.Storage.MinFree), Together: cfg.Storage.Sync == config.SyncNormal,
		Changed: func(h digest.Hash) { s.fragments.Forget(h) },
	})
	if err != nil {
		return s, err
	}
	s.fragments = cache.New(s.objects, int64(cfg.Performance.FragmentCache))
	if s.documents.shelf, err = sidecar.Open(files, sidecar.Plans); err != nil {
		return s, err
	}
	s.archive, err = archive.New(archive.Deps{
		FS: files, CAS: s.objects, Catalog: s.catalog, Plans: s.documents.shelf, Owner: s.id.Owner, Logger: log,
	}, archive.Config{})
	if err != nil {
		return s, err
	}
	if empty {
		if err := s.rebuild(ctx, log); err != nil {
			return s, err
		}
	}
	if err := s.bringOver(ctx, log); err != nil {
		return s, err
	}
	if err := s.archive.Recover(ctx); err != nil {
		return s, err
	}
	s.disk = &disk{fs: files, catalog: s.catalog, log: log}
	_ = s.disk.here() // a node whose disk is gone starts all the same, and says so
	return s, s.openCare(cfg, log)
}

// seam lets somebody see what the node does to its disk, or stand in its way.
type seam func(vfs.FS) vfs.FS

// lockWait turns "do not wait" into what the catalog calls it.
func lockWait(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// close closes what was opened.
func (s *store) close() error {
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	if s.catalog != nil {
		errs = append(errs, s.catalog.Close()) // last: it lets the next process in
	}
	return errors.Join(errs...)
}
