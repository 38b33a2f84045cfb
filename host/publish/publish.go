// Package publish answers: how does a tessera of mine get to the peers?
//
// The tessera is packed, coded into a spool, its plan signed, and the fragments pushed to the peers
// the placement policy chooses. A publish that was interrupted goes on with what its spool and the
// receipts say; what could not be placed is reported and left to the maintenance cycle, which works
// for it until it is there.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// ErrSpace tells that the spool would leave less free space than the operator wants.
var ErrSpace = errors.New("not enough free space to encode")

// Archive has the owner's own tesseras.
type Archive interface {
	Manifest(id sdk.TesseraID) (*tessera.Manifest, error)
	Pack(ctx context.Context, id sdk.TesseraID, w io.Writer) error
}

// Documents keeps plans and tombstones as plain files, durable when Put returns. A missing one is fs.ErrNotExist.
type Documents interface {
	Plan(sdk.TesseraID) ([]byte, error)
	PutPlan(sdk.TesseraID, []byte) error
	DropPlan(sdk.TesseraID) error
	Tombstone(sdk.TesseraID) ([]byte, error)
}

// Distributor finds holders for fragments.
type Distributor interface {
	Distribute(ctx context.Context, o scatter.Order) (scatter.Result, error)
}

// Deps are the rooms publishing works with.
type Deps struct {
	FS          vfs.FS
	Archive     Archive
	Documents   Documents
	Catalog     *catalog.Catalog
	Book        *holders.Book
	Distributor Distributor
	Forgetter   Forgetter
	Turns       *scatter.Turns
	Owner       fragment.Signer
	Log         *slog.Logger
}

// Config is what the operator chose.
type Config struct {
	MinFree uint64 // bytes that stay free on the disk
}

// Service publishes.
type Service struct {
	Deps
	config Config

	mu     sync.Mutex // guards untold
	untold map[sdk.NodeKey]map[sdk.TesseraID]bool
}

// New returns a Service.
func New(d Deps, c Config) *Service {
	return &Service{Deps: d, config: c, untold: map[sdk.NodeKey]map[sdk.TesseraID]bool{}}
}

// Stage names what a publish is doing.
type Stage string

// The stages of a publish, in order.
const (
	Encoding Stage = "encoding"
	Pushing  Stage = "pushing"
)

// Progress is told how far a stage is, in bytes; from several goroutines.
type Progress func(s Stage, done, total int64)

// Result is where the tessera stands after a publish.
type Result struct {
	Plan    *fragment.FragmentPlan
	Health  health.Report
	Placed  int // fragments (copies) that found a holder in this publish
	Refused []scatter.Failure
	Reason  string // why something is left, "" when nothing is
	Yielded bool   // the subnet cap gave way
}

// Publish brings a tessera of mine as near to its target as the peers allow, and remembers that the
// owner wants it there. It may be called again at any time.
func (s *Service) Publish(ctx context.Context, id sdk.TesseraID, progress Progress) (Result, error) {
	r, err := s.publish(ctx, id, progress)
	if err != nil {
		return r, fmt.Errorf("publish %s: %w", id.Short(), err)
	}
	return r, nil
}

func (s *Service) publish(ctx context.Context, id sdk.TesseraID, progress Progress) (Result, error) {
	if progress == nil {
		progress = func(Stage, int64, int64) {}
	}
	done, err := s.Turns.Take(ctx, id)
	if err != nil {
		return Result{}, err
	}
	defer done()
	manifest, err := s.Archive.Manifest(id)
	if err != nil {
		return Result{}, err
	}
	if err := s.want(id); err != nil {
		return Result{}, err
	}
	spool, err := s.spool(id)
	if err != nil {
		return Result{}, err
	}
	var hashes []digest.Hash
	fill := func(ctx context.Context, wanted []int) (_ []digest.Hash, err error) {
		if hashes == nil {
			hashes, err = s.encode(ctx, manifest, fragment.ParamsFor(tessera.PackedSize(manifest)), wanted, spool, progress)
		}
		return hashes, err
	}
	plan, err := s.planFor(ctx, manifest, fill)
	if err != nil {
		return Result{}, err
	}
	result, err := s.push(ctx, plan, spool, fill, progress)
	if err != nil {
		return result, err // the spool stays: the next publish goes on with it
	}
	return result, errors.Join(spool.Remove(), s.reached(id, result.Health))
}

func (s *Service) spool(id sdk.TesseraID) (*fragment.Spool, error) {
	return fragment.OpenSpool(s.FS, "spool/publish-"+id.String())
}

// fill codes the tessera into the spool, once, unless the fragments that are wanted are there, and gives the
// checksums of all. The first call wants the most.
type fill func(ctx context.Context, wanted []int) ([]digest.Hash, error)

// planFor gives the plan that was signed earlier, or codes the tessera and signs one. Either way it is
// in the catalog then.
func (s *Service) planFor(ctx context.Context, m *tessera.Manifest, fill fill) (*fragment.FragmentPlan, error) {
	plan, err := s.known(m.ID())
	if err != nil {
		return nil, err
	}
	if plan == nil {
		p := fragment.ParamsFor(tessera.PackedSize(m))
		hashes, err := fill(ctx, all(p))
		if err != nil {
			return nil, err
		}
		if plan, err = s.sign(m, p, hashes); err != nil {
			return nil, err
		}
	}
	return plan, s.enter(plan)
}

// all are the indices of the fragments.
func all(p fragment.Params) (indices []int) {
	for i := range p.Total() {
		indices = append(indices, i)
	}
	return indices
}

// known gives the plan that was signed earlier, nil when there is none that is whole. A damaged one is
// no loss: made again it has the same bytes.
func (s *Service) known(id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	text, err := s.Documents.Plan(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plan, err := fragment.OpenPlan(text)
	if err == nil && plan.Tessera != id {
		err = fragment.ErrPlan
	}
	if err != nil {
		s.Log.Warn("a plan is damaged and made again", "tessera", id.Short(), "err", err)
		return nil, nil
	}
	return plan, nil
}

// encode fills the spool, unless an earlier publish did and what is wanted of it is still there and right: a
// spool is not synced, so after a power cut it may be anything.
func (s *Service) encode(ctx context.Context, m *tessera.Manifest, p fragment.Params, wanted []int, spool *fragment.Spool, progress Progress) ([]digest.Hash, error) {
	hashes, err := s.resume(ctx, m, p, wanted, spool)
	if err == nil || !errors.Is(err, fragment.ErrNotSpooled) {
		return hashes, err
	}
	free, err := s.FS.Free()
	if err != nil {
		return nil, err
	}
	if need := uint64(fragment.PublishSpace(p)); free < need+s.config.MinFree {
		return nil, fmt.Errorf("%w: %s free, %s needed and %s to stay free", ErrSpace,
			humanize.IBytes(free), humanize.IBytes(need), humanize.IBytes(s.config.MinFree))
	}
	packed := s.packed(ctx, m.ID(), func(n int64) { progress(Encoding, n, p.Packed) })
	defer packed.Close()
	hashes, err = fragment.Encode(ctx, p, packed, spool)
	if err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	return hashes, spool.Finish(p, hashes)
}

// resume gives the checksums of a spool that has what is wanted, or fragment.ErrNotSpooled.
func (s *Service) resume(ctx context.Context, m *tessera.Manifest, p fragment.Params, wanted []int, spool *fragment.Spool) ([]digest.Hash, error) {
	hashes, err := spool.Encoded(p)
	if err != nil {
		return nil, err
	}
	plan, err := fragment.NewPlan(p, hashes, m.HeadBytes, m.Signature)
	if err != nil {
		return nil, err
	}
	good, err := spool.Complete(ctx, plan)
	if err != nil {
		return nil, err
	}
	for _, i := range wanted {
		if !slices.Contains(good, i) {
			return nil, fragment.ErrNotSpooled
		}
	}
	return hashes, nil
}

// packed is the packed tessera as a stream; closing it stops the packing.
func (s *Service) packed(ctx context.Context, id sdk.TesseraID, read func(n int64)) io.ReadCloser {
	r := fragment.Piped(func(w io.Writer) error { return s.Archive.Pack(ctx, id, w) })
	return &counted{ReadCloser: r, report: read}
}

type counted struct {
	io.ReadCloser
	n      int64
	report func(n int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	c.report(c.n)
	return n, err
}

func (s *Service) sign(m *tessera.Manifest, p fragment.Params, hashes []digest.Hash) (*fragment.FragmentPlan, error) {
	plan, err := fragment.NewPlan(p, hashes, m.HeadBytes, m.Signature)
	if err != nil {
		return nil, err
	}
	if err := plan.Sign(s.Owner); err != nil {
		return nil, err
	}
	if err := s.Documents.PutPlan(plan.Tessera, plan.Bytes()); err != nil {
		return nil, err
	}
	return plan, nil
}

// enter records a plan in the catalog, where repair and deletion look for it. The process may have
// died between writing the plan and this.
func (s *Service) enter(plan *fragment.FragmentPlan) error {
	return s.Catalog.Update(func(tx *catalog.Tx) error {
		if _, err := tx.Plan(plan.Tessera); !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		return tx.PutPlan(catalog.RowOf(plan, s.Owner.Key()))
	})
}

// push gives the fragments that want a holder to peers. The spool is filled only when a peer was found
// that may take one.
func (s *Service) push(ctx context.Context, plan *fragment.FragmentPlan, spool *fragment.Spool, fill fill, progress Progress) (Result, error) {
	r := Result{Plan: plan}
	before, err := s.assess(plan)
	if err != nil {
		return r, err
	}
	if wanting, newcomers := before.Wanting(); len(wanting) > 0 {
		var total int64
		for _, m := range wanting {
			total += int64(m.Copies) * plan.ShardSize()
		}
		pushed := &tally{report: func(n int64) { progress(Pushing, min(n, total), total) }} // one may be surplus
		found, err := s.Distributor.Distribute(ctx, scatter.Order{
			Plan: plan, Missing: wanting, Newcomers: newcomers, Intent: sdk.Intent_NEW, Purpose: wire.Purpose_PUBLISH,
			Prepare: func(ctx context.Context) error { return filled(ctx, fill, plan, health.Indexes(wanting)) },
			Open:    func(i int) (io.ReadCloser, error) { return spool.Open(i) },
			Placed:  func(scatter.Placed) { pushed.add(plan.ShardSize()) },
			Done:    func(i int) { _ = spool.Drop(i) }, // at the latest it goes with the whole spool
		})
		r.Placed, r.Refused, r.Yielded = len(found.Placed), found.Failures, found.Yielded
		if len(found.Left) > 0 {
			r.Reason = whyLeft(found)
		}
		if err != nil {
			return r, err
		}
	}
	r.Health, err = s.assess(plan)
	return r, err
}

// whyLeft is the policy's reason and what the last peer said that did not take a fragment.
func whyLeft(r scatter.Result) string {
	if len(r.Failures) == 0 {
		return r.Reason
	}
	return fmt.Sprintf("%s; %v", r.Reason, r.Failures[len(r.Failures)-1])
}

// filled sees to it that the spool holds what is wanted of the plan.
func filled(ctx context.Context, fill fill, plan *fragment.FragmentPlan, wanted []int) error {
	hashes, err := fill(ctx, wanted)
	if err == nil && !slices.Equal(hashes, plan.Fragments) {
		err = fmt.Errorf("the own copy gives other fragments than the plan: %w", digest.ErrMismatch)
	}
	return err
}

func (s *Service) assess(plan *fragment.FragmentPlan) (health.Report, error) {
	return s.Book.Health(plan.Tessera, health.Shape{Data: plan.Data, Total: plan.Total(), Copies: plan.Copies})
}

// want records the owner's wish before anything is done for it.
func (s *Service) want(id sdk.TesseraID) error {
	return s.mark(id, func(t *catalog.Tessera) { t.WantPublished = true })
}

// reached records that the tessera was at its target once.
func (s *Service) reached(id sdk.TesseraID, r health.Report) error {
	if r.Status != health.Healthy {
		return nil
	}
	return s.mark(id, func(t *catalog.Tessera) { t.Published = true })
}

func (s *Service) mark(id sdk.TesseraID, change func(*catalog.Tessera)) error {
	var t catalog.Tessera
	err := s.Catalog.View(func(tx *catalog.Tx) (err error) {
		t, err = tx.Tessera(id)
		return err
	})
	if err != nil {
		return err
	}
	before := t
	if change(&t); t == before {
		return nil
	}
	if err := s.Book.Wish(id, t.WantPublished, t.Published); err != nil {
		return err
	}
	return s.Catalog.Update(func(tx *catalog.Tx) error {
		t, err := tx.Tessera(id)
		if err != nil {
			return err
		}
		change(&t)
		return tx.PutTessera(t)
	})
}
