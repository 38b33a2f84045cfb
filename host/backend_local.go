package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/scrub"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// local is the node without its network: what the command line uses while no daemon runs, and the
// part of a running node that the network does not change.
type local struct {
	*store
	cfg  *config.Config
	log  *slog.Logger
	book *holders.Book

	sought func(sdk.TesseraID) bool // whether the network was asked who holds it; nil while there is none
}

var _ localapi.Backend = (*localBackend)(nil)

// localBackend answers what needs no network, and says so of the rest.
type localBackend struct{ local }

// OpenLocal opens a data directory for the command line while no daemon runs on it.
func OpenLocal(ctx context.Context, cfg *config.Config, dataDir string, log *slog.Logger) (localapi.Backend, io.Closer, error) {
	s, err := openStore(ctx, cfg, dataDir, log)
	if err != nil {
		return nil, nil, explain(err)
	}
	b := &localBackend{local{store: s, cfg: cfg, log: log}}
	b.book = b.booksOf(nil)
	return b, closer(s.close), nil
}

type closer func() error

func (c closer) Close() error { return c() }

// Known implements localapi.Tesseras. What its owner deleted stays among them: a prefix that meant it is not
// to mean another tessera in silence.
func (l *local) Known(context.Context) (ids []sdk.TesseraID, err error) {
	known := map[sdk.TesseraID]bool{}
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			known[t.ID] = true
		}
		for p, err := range tx.Plans(sdk.TesseraID{}) {
			if err != nil {
				return err
			}
			known[p.Tessera] = true
		}
		for id, err := range l.unplanned(tx) {
			if err != nil {
				return err
			}
			known[id] = true
		}
		return nil
	})
	for id, listErr := range l.documents.shelf.List(sidecar.Tombstone) {
		if err = errors.Join(err, listErr); err != nil {
			return nil, err
		}
		known[id] = true
	}
	return slices.Collect(maps.Keys(known)), err
}

// Create implements localapi.Tesseras.
func (l *local) Create(ctx context.Context, folder io.Reader) (localapi.Created, error) {
	if err := l.disk.here(); err != nil {
		return localapi.Created{}, explain(err)
	}
	made, err := l.archive.Create(ctx, folder)
	if err != nil {
		return localapi.Created{}, explain(err)
	}
	return localapi.Created{
		ID: made.ID, Title: localapi.Name(made.Title), Files: made.Files, SizeBytes: made.SizeBytes, NewBytes: made.NewBytes,
	}, nil
}

// List implements localapi.Tesseras.
func (l *local) List(ctx context.Context) ([]localapi.Summary, error) { return l.list(ctx, nil) }

// list is List with what a running node knows of publishes under way.
func (l *local) list(_ context.Context, busy func(sdk.TesseraID) bool) ([]localapi.Summary, error) {
	all, err := l.archive.List()
	if err != nil {
		return nil, err
	}
	out := make([]localapi.Summary, len(all))
	for i, t := range all {
		state, err := l.health(t, busy)
		if err != nil {
			return nil, err
		}
		out[i] = summary(t, state.name)
	}
	return out, nil
}

func summary(t catalog.Tessera, health string) localapi.Summary {
	return localapi.Summary{
		ID: t.ID, Title: localapi.Name(t.Title), SizeBytes: t.Bytes, Created: localapi.Moment{Time: t.Created}, Health: health,
	}
}

// Show implements localapi.Tesseras.
func (l *local) Show(ctx context.Context, id sdk.TesseraID) (localapi.Details, error) {
	return l.show(ctx, id, nil)
}

func (l *local) show(_ context.Context, id sdk.TesseraID, busy func(sdk.TesseraID) bool) (localapi.Details, error) {
	t, err := l.archive.Get(id)
	if err != nil {
		return localapi.Details{}, l.about(id, err)
	}
	m, err := l.archive.Manifest(id)
	if err != nil {
		return localapi.Details{}, l.about(id, err)
	}
	state, err := l.health(t, busy)
	if err != nil {
		return localapi.Details{}, err
	}
	d := localapi.Details{
		Summary: summary(t, state.name), Owner: m.Head.Owner, PackedBytes: t.Packed, Tier: tierName(fragment.TierOf(t.Packed)),
		Entries: make([]localapi.Entry, len(m.Entries)),
	}
	for i, e := range m.Entries {
		d.Entries[i] = localapi.Entry{
			Path: localapi.Name(e.Path), Folder: e.Folder, SizeBytes: e.Size, Modified: localapi.Moment{Time: e.ModTime},
			MediaType: e.MediaType, Hash: e.Hash,
		}
	}
	return d, nil
}

func tierName(t fragment.FragmentationTier) string {
	switch t {
	case fragment.Small:
		return "small"
	case fragment.Medium:
		return "medium"
	case fragment.Large:
		return "large"
	}
	return ""
}

// Delete implements localapi.Tesseras.
func (l *local) Delete(ctx context.Context, id sdk.TesseraID) (localapi.Deleted, error) {
	m, err := l.archive.Manifest(id)
	if err != nil && !errors.Is(err, archive.ErrDamaged) {
		return localapi.Deleted{}, l.about(id, err)
	}
	var freed int64
	if m != nil {
		if freed, err = l.onlyHere(m); err != nil {
			return localapi.Deleted{}, err
		}
	}
	if err := l.disk.here(); err != nil {
		return localapi.Deleted{}, explain(err)
	}
	if err := l.archive.Delete(ctx, id); err != nil {
		return localapi.Deleted{}, l.about(id, err)
	}
	return localapi.Deleted{ID: id, FreedBytes: freed}, nil
}

// onlyHere adds up the files that nothing but this tessera refers to.
func (l *local) onlyHere(m *tessera.Manifest) (sum int64, err error) {
	uses, sizes := map[digest.Hash]int{}, map[digest.Hash]int64{}
	for _, e := range m.Entries {
		if !e.Folder {
			uses[e.Hash]++
			sizes[e.Hash] = e.Size
		}
	}
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for h, n := range uses {
			all, err := tx.RefCount(h)
			if err != nil {
				return err
			}
			if all == n {
				sum += sizes[h]
			}
		}
		return nil
	})
	return sum, err
}

// Verify implements localapi.Tesseras. What it finds is written down like what a scrub finds, so that it is
// made good.
func (l *local) Verify(ctx context.Context, id sdk.TesseraID, progress localapi.ProgressFunc) (localapi.Verified, error) {
	v := localapi.Verified{ID: id, Damage: []localapi.Damage{}}
	t, err := l.archive.Get(id)
	if err != nil {
		return v, l.about(id, err)
	}
	v.Files, v.SizeBytes = t.Files, t.Bytes
	var bad []digest.Hash
	err = l.archive.Verify(ctx, id, archive.Watch{
		Bad: func(e tessera.Entry, err error) {
			bad = append(bad, e.Hash)
			v.Damage = append(v.Damage, localapi.Damage{Path: localapi.Name(e.Path), Problem: err.Error()})
		},
		Read: func(n int64) {
			progress(localapi.Progress{Stage: "reading every byte", Done: n, Total: t.Bytes, Unit: localapi.Bytes})
		},
	})
	if errors.Is(err, archive.ErrDamaged) {
		if len(v.Damage) == 0 { // it is the manifest
			v.Damage = append(v.Damage, localapi.Damage{Problem: err.Error()})
			return v, explain(l.scrubber.Accuse(scrub.Document{Tessera: id, Kind: catalog.DocManifest, Problem: err}))
		}
		err = l.look(ctx, bad)
	}
	return v, explain(err)
}

// look has the scrub look at objects that seem damaged.
func (l *local) look(ctx context.Context, bad []digest.Hash) error {
	for _, h := range bad {
		if _, err := l.scrubber.Check(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// Pack implements localapi.Tesseras.
func (l *local) Pack(ctx context.Context, id sdk.TesseraID) (localapi.Packed, error) {
	m, err := l.archive.Manifest(id)
	if err != nil {
		return localapi.Packed{}, l.about(id, err)
	}
	return localapi.Packed{
		Size:  tessera.PackedSize(m),
		Write: func(w io.Writer) error { return l.about(id, packer{l}.Pack(ctx, id, w)) },
	}, nil
}

// Ledger implements localapi.Maintenance.
func (l *local) Ledger(context.Context) (accounts []localapi.Account, err error) {
	accounts = []localapi.Account{}
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for row, err := range tx.LedgerRows() {
			if err != nil {
				return err
			}
			accounts = append(accounts, localapi.Account{
				Owner: row.Owner, BytesStoredForThem: int64(row.StoredForThem),
				BytesTheyStoreForUs: int64(row.TheyStoreForUs), Balance: ledger.Balance(row),
			})
		}
		return nil
	})
	return accounts, err
}

// NodeStatus implements localapi.Node.
func (l *local) NodeStatus(context.Context) (localapi.NodeStatus, error) {
	return l.withUnplanned(l.figures())
}

// figures is how the node stands, without what takes a look at every row.
func (l *local) figures() (localapi.NodeStatus, error) {
	s := localapi.NodeStatus{Node: l.id.Node.ID()}
	free, err := l.dir.Free()
	if err != nil {
		return s, err
	}
	s.FreeBytes = int64(free)
	err = l.catalog.View(func(tx *catalog.Tx) error {
		for _, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			s.Tesseras++
		}
		totals, err := tx.Totals()
		s.FragmentsHeld, s.BytesHeld = int(totals.Fragments), totals.FragmentBytes
		return err
	})
	return s, err
}

// Identity implements localapi.Node.
func (l *local) Identity(context.Context) (localapi.Identity, error) {
	return localapi.Identity{Node: l.id.Node.ID(), Owner: l.id.Owner.Key()}, nil
}

// plan reads the plan of a tessera; a missing one is fs.ErrNotExist.
func (l *local) plan(id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	text, err := l.documents.Plan(id)
	if err != nil {
		return nil, err
	}
	return fragment.ParsePlan(text)
}

// state is how a tessera stands.
type state struct {
	name   string
	report health.Report
	plan   *fragment.FragmentPlan // nil before the first publish
	damage []localapi.Damage      // of the own copy
}

// health tells how one of the owner's tesseras stands, by what is known here.
func (l *local) health(t catalog.Tessera, busy func(sdk.TesseraID) bool) (state, error) {
	s, err := l.standing(t, busy)
	if err != nil {
		return s, err
	}
	s.damage, err = l.damageOf(t.ID)
	if s.name == localapi.HealthPublishing && len(s.damage) == 0 {
		s.damage = append(s.damage, l.listDamage(t.ID)...) // it would be published for ever
	}
	if len(s.damage) > 0 {
		s.name = string(health.CorruptLocal)
	}
	return s, err
}

// standing is health but for damage on this disk.
func (l *local) standing(t catalog.Tessera, busy func(sdk.TesseraID) bool) (state, error) {
	if !t.WantPublished {
		return state{name: localapi.HealthLocal}, nil
	}
	plan, err := l.plan(t.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state{name: localapi.HealthPublishing}, nil
	case errors.Is(err, fragment.ErrPlan):
		return state{name: string(health.CorruptLocal)}, nil
	case err != nil:
		return state{}, err
	}
	s := state{plan: plan}
	if s.report, err = l.report(plan); err != nil {
		return state{}, err
	}
	s.name = string(s.report.Status)
	// with the owner's own copy here a publish can always go on
	firstPublish := busy != nil && busy(t.ID) && !t.Published && s.report.Status != health.Healthy
	switch {
	case firstPublish:
		s.name = localapi.HealthPublishing
	case s.report.Status == health.Unrecoverable:
		s.name = string(health.NeedsReplication)
	}
	return s, nil
}
