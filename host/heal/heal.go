// Package heal answers: what is damaged on this disk, and how does it come back?
//
// What was found damaged or lost is fetched from peers: a fragment that is kept here is fetched from
// another who has the same, or computed from enough others; one whose file is gone is left to others for a while,
// and given up where another has it then; a file of an own tessera comes out of the
// fragments of the whole, and so does its manifest; a plan comes from anybody who has it. Every byte is checked against the plan and against its own name before it is
// kept. What cannot be made good now stays written down, and the next round tries again.
package heal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// Collected is enough of a tessera's fragments, fetched from peers and checked.
type Collected interface {
	Has(index int) bool
	Open(index int) (io.ReadCloser, error)
	Rebuild(ctx context.Context, out map[int]io.Writer) error
	Decode(ctx context.Context, w io.Writer) error
	Discard() error
}

// Documents are the plain files beside the objects.
type Documents interface {
	// FetchPlan brings the plan of a tessera back, from a peer unless the own one is whole after all.
	FetchPlan(ctx context.Context, id sdk.TesseraID) error
	// KeepManifest keeps the manifest of an own tessera. It gives the files that are not here, which are known
	// to be damaged then.
	KeepManifest(m *tessera.Manifest) (missing []digest.Hash, err error)
}

// Deps are the rooms healing works with.
type Deps struct {
	Objects   *cas.Store
	Catalog   *catalog.Catalog
	Documents Documents
	Collect   func(ctx context.Context, id sdk.TesseraID) (Collected, error)
	// Patience is the least time between two tries of the maintenance cycle at one tessera that cannot be
	// helped: its rounds may follow each other closely.
	Patience time.Duration
	// Elsewhere is for how long the maintenance cycle leaves a fragment whose file is gone to the other holders, who
	// rebuild it on other disks: what a disk lost it may lose again. Damaged bytes are replaced at once.
	Elsewhere time.Duration
	// GiveUp gives up those of such fragments of a tessera that others have made good by then, and tells which; also
	// beside an error.
	GiveUp func(ctx context.Context, id sdk.TesseraID, indexes []int) (given []int, err error)
	Log    *slog.Logger
}

// Service heals.
type Service struct {
	Deps
	healed atomic.Int64
	one    sync.Mutex // held by the one who heals: two would fetch the same twice

	mu     sync.Mutex // guards failed
	failed map[sdk.TesseraID]time.Time
}

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d, failed: map[sdk.TesseraID]time.Time{}} }

// Healed is how many objects and documents were made good since the node was opened.
func (s *Service) Healed() int64 { return s.healed.Load() }

// Report is what was made good, and what not.
type Report struct {
	Healed int // objects and documents
	Failed []Failure
}

// Failure is a tessera whose damage could not be made good this time, and why.
type Failure struct {
	Tessera sdk.TesseraID
	Err     error
}

// Step is a round of the maintenance cycle.
func (s *Service) Step(ctx context.Context) error {
	r, err := s.run(ctx, nil, s.waits, s.Elsewhere)
	for _, f := range r.Failed {
		s.Log.Warn("damage could not be made good now", "tessera", f.Tessera.Short(), "err", f.Err)
	}
	return err
}

// Run makes good now what is damaged of some tesseras, or of all when only is nil.
func (s *Service) Run(ctx context.Context, only []sdk.TesseraID) (report Report, err error) {
	return s.run(ctx, only, func(sdk.TesseraID) bool { return false }, 0)
}

// waits tells whether a tessera could not be helped a short while ago.
func (s *Service) waits(id sdk.TesseraID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, failed := s.failed[id]
	return failed && time.Since(at) < s.Patience
}

// tried remembers how a try at a tessera ended.
func (s *Service) tried(id sdk.TesseraID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, id)
	if err != nil && len(s.failed) < maxDamage {
		s.failed[id] = time.Now()
	}
}

func (s *Service) run(
	ctx context.Context, only []sdk.TesseraID, waits func(sdk.TesseraID) bool, elsewhere time.Duration,
) (report Report, err error) {
	s.one.Lock()
	defer s.one.Unlock()
	patients, err := s.patients(only, time.Now().Add(-elsewhere))
	if err != nil {
		return report, fmt.Errorf("heal: %w", err)
	}
	for _, p := range patients {
		if waits(p.tessera) {
			continue
		}
		healed, err := s.heal(ctx, p)
		report.Healed += healed
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		s.tried(p.tessera, err)
		if err != nil {
			report.Failed = append(report.Failed, Failure{p.tessera, err})
		}
	}
	return report, nil
}

// patient is a tessera and what is damaged of it.
type patient struct {
	tessera   sdk.TesseraID
	fragments map[int]digest.Hash
	gone      []int // of the fragments: there is no file
	files     map[digest.Hash]bool
	plan      bool // its document is damaged
	manifest  bool // likewise
}

// well tells that nothing is damaged that all fragments are needed for.
func (p *patient) well() bool { return len(p.fragments)+len(p.files) == 0 && !p.manifest }

// maxDamage bounds what is made good in one round, so that memory is bounded when a disk loses much.
const maxDamage = 10_000

// patients sorts the damage by the tesseras hit. Of the fragments whose files are gone it takes those that were found to
// be before a time.
func (s *Service) patients(only []sdk.TesseraID, goneBefore time.Time) (out []*patient, err error) {
	byID := map[sdk.TesseraID]*patient{}
	at := func(id sdk.TesseraID) *patient {
		if byID[id] == nil {
			byID[id] = &patient{tessera: id, fragments: map[int]digest.Hash{}, files: map[digest.Hash]bool{}}
			out = append(out, byID[id])
		}
		return byID[id]
	}
	err = s.Catalog.View(func(tx *catalog.Tx) error {
		n := 0
		for d, err := range tx.BadDocuments() {
			if err != nil {
				return err
			}
			if only != nil && !slices.Contains(only, d.Tessera) {
				continue
			}
			switch d.Kind {
			case catalog.DocPlan:
				at(d.Tessera).plan = true
			case catalog.DocManifest:
				at(d.Tessera).manifest = true
			}
			if n++; n == maxDamage {
				return nil
			}
		}
		for d, err := range tx.Damages() {
			if err != nil {
				return err
			}
			uses, err := tx.Uses(d.Hash)
			if err != nil {
				return err
			}
			for _, u := range uses {
				if only != nil && !slices.Contains(only, u.Tessera) || u.Fragment && d.Lost && d.Found.After(goneBefore) {
					continue
				}
				at(u.Tessera).add(u, d)
				n++
			}
			if n >= maxDamage {
				return nil
			}
		}
		return nil
	})
	return out, err
}

func (p *patient) add(u catalog.Use, d catalog.Damage) {
	switch {
	case !u.Fragment:
		p.files[d.Hash] = true
		return
	case d.Lost:
		p.gone = append(p.gone, u.Index)
	}
	p.fragments[u.Index] = d.Hash
}

// heal brings back what is still damaged of one tessera.
func (s *Service) heal(ctx context.Context, p *patient) (healed int, err error) {
	if err := s.forget(p); err != nil {
		return 0, err
	}
	if p.plan {
		if err := s.plan(ctx, p.tessera); err != nil {
			return 0, err
		}
		healed++
	}
	if err := s.giveUp(ctx, p); err != nil || p.well() {
		return healed, err
	}
	from, err := s.Collect(ctx, p.tessera)
	if err != nil {
		return healed, err
	}
	defer func() { err = errors.Join(err, from.Discard()) }()
	for index, h := range p.fragments {
		ok, err := s.fragment(ctx, from, index, h)
		if err != nil {
			return healed, fmt.Errorf("fragment %d: %w", index, err)
		}
		healed += ok
	}
	if len(p.files) == 0 && !p.manifest {
		return healed, nil
	}
	n, err := s.files(ctx, from, p)
	return healed + n, err
}

// giveUp takes from a patient those fragments that are gone and that others have by now.
func (s *Service) giveUp(ctx context.Context, p *patient) error {
	gone := slices.DeleteFunc(p.gone, func(index int) bool { _, damaged := p.fragments[index]; return !damaged }) // made good with another tessera
	if len(gone) == 0 {
		return nil
	}
	given, err := s.GiveUp(ctx, p.tessera, gone)
	for _, index := range given {
		delete(p.fragments, index)
	}
	return err
}

// plan brings the plan back.
func (s *Service) plan(ctx context.Context, id sdk.TesseraID) error {
	if err := s.Documents.FetchPlan(ctx, id); err != nil {
		return err
	}
	return s.acquit(id, catalog.DocPlan)
}

// acquit takes back that a document is damaged.
func (s *Service) acquit(id sdk.TesseraID, kind string) error {
	err := s.Catalog.Update(func(tx *catalog.Tx) error { return tx.DropBadDocument(id, kind) })
	if err != nil {
		return err
	}
	s.healed.Add(1)
	s.Log.Info("damage made good", "tessera", id.Short(), "document", kind)
	return nil
}

// forget drops from a patient what was made good since, with another tessera that shares it.
func (s *Service) forget(p *patient) error {
	return s.Catalog.View(func(tx *catalog.Tx) error {
		for index, h := range p.fragments {
			if damaged, err := isDamaged(tx, h); err != nil {
				return err
			} else if !damaged {
				delete(p.fragments, index)
			}
		}
		for h := range p.files {
			if damaged, err := isDamaged(tx, h); err != nil {
				return err
			} else if !damaged {
				delete(p.files, h)
			}
		}
		return nil
	})
}

func isDamaged(tx *catalog.Tx, h digest.Hash) (bool, error) {
	_, err := tx.Damage(h)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// fragment brings one fragment back.
func (s *Service) fragment(ctx context.Context, from Collected, index int, h digest.Hash) (healed int, err error) {
	r, err := open(ctx, from, index)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return s.keep(ctx, r, h)
}

// open gives a fragment as it was fetched, or as it is computed from the others. Closing it stops the
// computing.
func open(ctx context.Context, from Collected, index int) (io.ReadCloser, error) {
	if from.Has(index) {
		return from.Open(index)
	}
	return fragment.Piped(func(w io.Writer) error { return from.Rebuild(ctx, map[int]io.Writer{index: w}) }), nil
}

// keep stores what has the right hash, and takes back that it is damaged.
func (s *Service) keep(ctx context.Context, r io.Reader, h digest.Hash) (healed int, err error) {
	if _, err := s.Objects.Stage(ctx, r, &h); err != nil {
		return 0, err
	}
	defer s.Objects.Unpin(h)
	var was bool
	err = s.Catalog.Update(func(tx *catalog.Tx) (err error) {
		was, err = tx.Healed(h)
		return err
	})
	if err != nil || !was {
		return 0, err
	}
	s.healed.Add(1)
	s.Log.Info("damage made good", "object", h.Short())
	return 1, nil
}

// files decodes the whole tessera and keeps the files that are damaged here.
func (s *Service) files(ctx context.Context, from Collected, p *patient) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packed := fragment.Piped(func(w io.Writer) error { return from.Decode(ctx, w) })
	defer packed.Close() // before what it reads is discarded
	t := &taker{s: s, ctx: ctx, p: p}
	err := tessera.Unpack(ctx, packed, t)
	return t.healed, err
}

// taker takes the damaged files out of a packed tessera. Each is checked by its own hash, so it may be
// kept before the whole is known to be right.
type taker struct {
	s      *Service
	ctx    context.Context
	p      *patient
	healed int
}

var _ tessera.Sink = (*taker)(nil)

// Manifest implements tessera.Sink.
func (t *taker) Manifest(m *tessera.Manifest) error {
	if m.ID() != t.p.tessera {
		return tessera.ErrOtherTessera
	}
	if !t.p.manifest {
		return nil
	}
	missing, err := t.s.Documents.KeepManifest(m)
	if err != nil {
		return err
	}
	for _, h := range missing {
		t.p.files[h] = true
	}
	t.healed++
	return t.s.acquit(m.ID(), catalog.DocManifest)
}

// Folder implements tessera.Sink.
func (t *taker) Folder(tessera.Entry) error { return nil }

// File implements tessera.Sink.
func (t *taker) File(e tessera.Entry, content io.Reader) error {
	if !t.p.files[e.Hash] {
		return nil
	}
	delete(t.p.files, e.Hash)
	n, err := t.s.keep(t.ctx, content, e.Hash)
	t.healed += n
	return err
}
