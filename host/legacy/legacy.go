package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// Deps are what a migration works with.
type Deps struct {
	FS        vfs.FS // the data directory
	Store     *cas.Store
	Catalog   *catalog.Catalog
	Documents *sidecar.Shelf // plans and tombstones
	Owner     sdk.OwnerKey
	Log       *slog.Logger
	Now       func() time.Time
}

// Config is for tests. The zero value is good.
type Config struct {
	// Reached is told each point a test may want the process to die at.
	Reached func(point string)
	// MaxDocument is the size of the largest document of references written, in bytes; 0 is MaxDocument.
	MaxDocument int
}

// Report says what has come over from the old layout in all, also in earlier runs that were cut short.
type Report struct {
	Tesseras   int
	Files      int   // files of memories
	Fragments  int   // of them, Unplanned have no plan
	Unplanned  int   // fragments kept, but of use only once their plan is found
	Duplicates int   // files and fragments whose content was there already
	BytesSaved int64 // by duplicates
	Left       int   // files of this run that stay in the old layout, each told of in the log
}

// Open does what there is to do with an old layout before anything else happens: it notes in the index
// what came over earlier, if the index has forgotten it, and brings over what is still there. Where
// there is nothing of the kind it costs a few looks at the disk. A disk too full for it is not an
// error: the old files stay, and the next start tries again.
func Open(ctx context.Context, d Deps, c Config) (Report, error) {
	m := &migration{Deps: d, Config: c, left: map[string]bool{}}
	if m.Reached == nil {
		m.Reached = func(string) {}
	}
	m.MaxDocument = cmp.Or(m.MaxDocument, MaxDocument)
	err := m.open(ctx)
	if full(err) {
		m.Log.Error("too little space to bring over what lies in the old layout: it stays as it is until the next start", "err", err)
		return m.report, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("old layout: %w", err)
	}
	return m.report, nil
}

// full tells whether there was too little room: for objects, for the index, or for anything at all.
func full(err error) bool {
	return errors.Is(err, cas.ErrNoSpace) || errors.Is(err, catalog.ErrDiskFull) || errors.Is(err, syscall.ENOSPC)
}

// metaNoted is the catalog's name for having seen all documents of references.
const metaNoted = "legacy_noted"

// migration is one run of Open.
type migration struct {
	Deps
	Config
	notes  *sidecar.Shelf  // documents of references
	came   int             // files of this run that are over
	left   map[string]bool // paths of this run that stay in the old layout, each told of
	report Report

	passedOver int // documents of references that eachNote could not read
}

func (m *migration) open(ctx context.Context) error {
	noted, err := exists(m.FS, Folder)
	if err != nil {
		return err
	}
	var folders []string
	for _, f := range []string{BlobsFolder, FragmentsFolder} {
		there, err := exists(m.FS, f)
		if err != nil {
			return err
		}
		if there {
			folders = append(folders, f)
		}
	}
	if !noted && len(folders) == 0 {
		return nil
	}
	if m.notes, err = sidecar.Open(m.FS, Folder); err != nil {
		return err
	}
	if err := m.recall(ctx); err != nil || len(folders) == 0 {
		return err
	}
	return m.migrate(ctx, folders)
}

// recall writes the rows of all documents of references into an index that was made anew.
func (m *migration) recall(ctx context.Context) error {
	known, err := Recalled(m.Catalog, m.FS)
	if err != nil || known {
		return err
	}
	err = m.eachNote(ctx, func(r *References) error { return m.record(r) })
	if err != nil || m.passedOver > 0 {
		return err // the next start asks again what could not be read
	}
	return m.Catalog.Update(func(tx *catalog.Tx) error { return tx.PutMeta(metaNoted, []byte("1")) })
}

// eachNote gives every document of references whose tessera was not deleted, and counts in passedOver
// those that cannot be read.
func (m *migration) eachNote(ctx context.Context, use func(*References) error) error {
	m.passedOver = 0
	for id, err := range m.notes.List(Extension) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		dead, err := m.buried(id)
		if err != nil {
			return err
		}
		if dead {
			continue
		}
		r, err := m.note(id)
		if err != nil {
			m.passedOver++
			m.Log.Error("a document of references is damaged, what it says is not known", "tessera", id.Short(), "err", err)
			continue
		}
		if err := use(r); err != nil {
			return err
		}
	}
	return nil
}

// note reads the document of a tessera; where there is none it is empty.
func (m *migration) note(id sdk.TesseraID) (*References, error) {
	r, err := read(m.notes, id)
	if errors.Is(err, sidecar.ErrNotFound) {
		return &References{Tessera: id}, nil
	}
	return r, err
}

// migrate brings over what lies in the folders of the old layout, then removes it there.
func (m *migration) migrate(ctx context.Context, folders []string) error {
	begun := time.Now()
	m.Log.Info("bringing over what lies in the old layout", "folders", folders)
	if err := m.eachTessera(ctx, folders, m.copy); err != nil {
		return err
	}
	m.Reached("all over")
	news := m.came > 0 || len(m.left) == 0 // else all that lies there has been told of before
	if news {
		if err := m.count(ctx); err != nil {
			return err
		}
	}
	if err := m.clear(ctx, folders); err != nil {
		return err
	}
	if news {
		m.tell(time.Since(begun))
	}
	return nil
}

// tell sums up. It happens once and takes its time: people are told also where they hear of warnings only.
func (m *migration) tell(took time.Duration) {
	r := m.report
	m.Log.Warn("the old layout was brought over", "tesseras", r.Tesseras, "files", r.Files, "fragments", r.Fragments, "unplanned", r.Unplanned,
		"duplicates", r.Duplicates, "bytes_saved", r.BytesSaved, "left", r.Left, "took", took.Round(time.Millisecond))
}

// count sums up all that ever came over. It is a function of what is on the disk now, so it is the same
// however often a migration was cut short.
func (m *migration) count(ctx context.Context) error {
	mine := map[sdk.TesseraID]bool{}
	times := map[digest.Hash]int{}
	sizes := map[digest.Hash]int64{}
	err := m.eachNote(ctx, func(r *References) error {
		m.report.Tesseras++
		m.report.Files += len(r.Blobs)
		m.report.Fragments += len(r.Fragments)
		mine[r.Tessera] = true
		for _, b := range r.Blobs {
			times[b.Hash]++
			sizes[b.Hash] = b.Size
		}
		for _, f := range r.Fragments {
			times[f.Hash]++
			sizes[f.Hash] = f.Size
		}
		planned, err := m.Documents.Has(r.Tessera, sidecar.Plan)
		if err == nil && !planned {
			m.report.Unplanned += len(r.Fragments)
		}
		return err
	})
	if err != nil {
		return err
	}
	return m.Catalog.View(func(tx *catalog.Tx) error {
		for h, n := range times {
			others, err := needed(tx, h, mine)
			if err != nil {
				return err
			}
			if !others {
				n--
			}
			m.report.Duplicates += n
			m.report.BytesSaved += int64(n) * sizes[h]
		}
		return nil
	})
}

// needed tells whether tesseras other than some need an object.
func needed(tx *catalog.Tx, h digest.Hash, but map[sdk.TesseraID]bool) (bool, error) {
	for ref, err := range tx.Referrers(h) {
		if err != nil || !but[ref.Tessera] {
			return err == nil, err
		}
	}
	return false, nil
}
