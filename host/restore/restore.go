// Package restore answers: how does a tessera come back from nothing but its id?
//
// The network is asked who holds it; any holder's copy of the signed plan says what it consists of;
// any k fragments are fetched, each checked against the plan, into a spool that survives an
// interruption; then the stripes are decoded in order. Nobody on the way has to be believed: the id is
// the hash of the head, the head names the key, the key signed the plan.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// What callers decide on.
var (
	// ErrNoPlan tells that nobody who could be reached has the plan of a tessera.
	ErrNoPlan = errors.New("nobody who could be reached holds it")
	// ErrDeleted tells that the owner deleted the tessera.
	ErrDeleted = errors.New("its owner deleted it")
	// ErrSelf tells that the one asked is this node, on whose disk the plan was looked for before.
	ErrSelf = errors.New("this is the node itself")
	// ErrSpace tells that the spool would leave less free space than the operator wants.
	ErrSpace = errors.New("not enough free space to collect the fragments")
)

// Network is what restoring needs of the peers.
type Network interface {
	// Holders names the peers that may hold fragments of a tessera.
	Holders(ctx context.Context, t sdk.TesseraID) ([]identity.Contact, error)
	// Plan asks a peer for the plan, parsed and verified; the owner's tombstone is ErrDeleted, a peer
	// that has none says ErrNoPlan, and this node itself ErrSelf.
	Plan(ctx context.Context, from identity.Contact, t sdk.TesseraID) (*fragment.FragmentPlan, error)
	// Held asks a peer which fragments of the plan it holds.
	Held(ctx context.Context, from identity.Contact, plan *fragment.FragmentPlan) ([]int, error)
	// Fragment writes a fragment as a peer sends it; what it was is for the caller to check.
	Fragment(ctx context.Context, from identity.Contact, id fragment.FragmentID, size int64, w io.Writer) error
}

// Documents keeps plans as plain files. A missing one is fs.ErrNotExist.
type Documents interface {
	Plan(sdk.TesseraID) ([]byte, error)
}

// Config is what the operator chose.
type Config struct {
	Concurrent int    // fetches at a time
	MinFree    uint64 // bytes that stay free on the disk
}

// Service restores.
type Service struct {
	fs        vfs.FS
	network   Network
	documents Documents
	config    Config
	log       *slog.Logger
	desk      desk
}

// New returns a Service that spools in fsys.
func New(fsys vfs.FS, n Network, d Documents, c Config, log *slog.Logger) *Service {
	return &Service{fs: fsys, network: n, documents: d, config: c, log: log, desk: desk{inUse: map[string]bool{}}}
}

// Progress is told how many of how many bytes have been fetched; from several goroutines.
type Progress func(fetched, total int64)

// Served says which fragments came from whom.
type Served struct {
	Node      sdk.NodeID
	Fragments []int
}

// Collected is enough of a tessera to decode it. Whoever has one ends with Discard or with Leave.
type Collected struct {
	Plan   *fragment.FragmentPlan
	Served []Served
	spool  *fragment.Spool
	leave  func() error
	have   []int
}

// Collect brings enough fragments of a tessera together and checks each. When it fails for want of
// fragments, those that came stay in the spool, and the next Collect goes on with them.
func (s *Service) Collect(ctx context.Context, id sdk.TesseraID, progress Progress) (*Collected, error) {
	c, err := s.collect(ctx, id, progress)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", id.Short(), err)
	}
	return c, nil
}

func (s *Service) collect(ctx context.Context, id sdk.TesseraID, progress Progress) (_ *Collected, err error) {
	begun := time.Now()
	peers, err := s.network.Holders(ctx, id)
	if err != nil {
		return nil, err
	}
	found := time.Now()
	plan, err := s.plan(ctx, id, peers)
	if err != nil {
		return nil, err
	}
	planned := time.Now()
	c := &Collected{Plan: plan}
	if c.spool, c.leave, err = s.openSpool(id); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Leave())
		}
	}()
	if c.have, err = c.spool.Complete(ctx, plan); err != nil {
		return nil, err
	}
	c.have = c.have[:min(len(c.have), plan.Data)]
	if need := plan.Data - len(c.have); need > 0 {
		err = s.fetch(ctx, c, peers, need, progress)
	}
	s.log.Info("fragments collected", "tessera", id.Short(), "have", len(c.have), "need", plan.Data, "peers", len(peers),
		"found_in", found.Sub(begun), "plan_in", planned.Sub(found), "fetched_in", time.Since(planned), "err", err)
	return c, err
}

// fetch adds need fragments to what was collected.
func (s *Service) fetch(ctx context.Context, c *Collected, peers []identity.Contact, need int, progress Progress) error {
	free, err := s.fs.Free()
	if err != nil {
		return err
	}
	if bytes := uint64(need) * uint64(c.Plan.ShardSize()); free < bytes+s.config.MinFree {
		return fmt.Errorf("%w: %s free, %s needed and %s to stay free", ErrSpace,
			humanize.IBytes(free), humanize.IBytes(bytes), humanize.IBytes(s.config.MinFree))
	}
	sum := &sum{total: int64(need) * c.Plan.ShardSize(), report: progress}
	var few *gather.InsufficientError
	if err = s.fetchFrom(ctx, c, peers, sum); errors.As(err, &few) {
		err = s.fetchFrom(ctx, c, peers, sum) // who failed may have been busy
	}
	if errors.As(err, &few) { // what was there before counts too
		few.Have, few.Need = len(c.have), c.Plan.Data
	}
	return err
}

func (s *Service) fetchFrom(ctx context.Context, c *Collected, peers []identity.Contact, sum *sum) error {
	answers, done := s.askHeld(ctx, c.Plan, peers)
	defer done()
	need := c.Plan.Data - len(c.have)
	got, err := gather.Any(ctx, enough(answers, c), c.have, need, fetcher{s.network, c.Plan, c.spool}, gather.Config{
		Concurrent: s.config.Concurrent,
		Size:       c.Plan.ShardSize(),
		More:       answers,
		Progress:   sum.add,
	})
	for _, g := range got {
		c.have = append(c.have, g.Index)
		c.served(g.From.ID(), g.Index)
	}
	return err
}

func (c *Collected) served(node sdk.NodeID, index int) {
	at := slices.IndexFunc(c.Served, func(s Served) bool { return s.Node == node })
	if at < 0 {
		at = len(c.Served)
		c.Served = append(c.Served, Served{Node: node})
	}
	c.Served[at].Fragments = append(c.Served[at].Fragments, index)
}

// Plan gives the plan of a tessera, verified: the one kept here, or that of a peer where it is damaged or
// missing. The errors to decide on are ErrNoPlan and ErrDeleted.
func (s *Service) Plan(ctx context.Context, id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	peers, err := s.network.Holders(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", id.Short(), err)
	}
	plan, err := s.plan(ctx, id, peers)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", id.Short(), err)
	}
	return plan, nil
}

// plan takes the first good plan: every good one says the same.
func (s *Service) plan(ctx context.Context, id sdk.TesseraID, peers []identity.Contact) (*fragment.FragmentPlan, error) {
	text, err := s.documents.Plan(id)
	if err == nil {
		if plan, err := fragment.OpenPlan(text); err == nil && plan.Tessera == id {
			return plan, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the plan kept here is damaged", "tessera", id.Short(), "err", err)
	}
	return s.askPlan(ctx, id, peers)
}

// fetcher implements gather.Fetcher into a spool, where only whole and right shards stay.
type fetcher struct {
	network Network
	plan    *fragment.FragmentPlan
	spool   *fragment.Spool
}

func (f fetcher) Fetch(ctx context.Context, from identity.Contact, index int, progress func(int)) error {
	w, err := f.spool.Receive(f.plan, index)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := f.network.Fragment(ctx, from, f.plan.ID(index), f.plan.ShardSize(), watched{w, progress}); err != nil {
		return err
	}
	return w.Commit()
}

type watched struct {
	io.Writer
	progress func(int)
}

func (w watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.progress(n)
	return n, err
}

type sum struct {
	mu     sync.Mutex // guards n, and the order of reports
	n      int64
	total  int64
	report Progress
}

func (s *sum) add(n int) {
	if s.report == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(n)
	s.report(s.n, s.total)
}

// Decode writes the packed tessera. Nothing may be committed of it before Decode returned nil.
func (c *Collected) Decode(ctx context.Context, w io.Writer) error {
	shards, closeShards, err := c.shards()
	if err != nil {
		return err
	}
	defer closeShards()
	return fragment.Decode(ctx, c.Plan, shards, w)
}

// Has tells whether a fragment is among those collected.
func (c *Collected) Has(index int) bool { return slices.Contains(c.have, index) }

// Open reads a fragment that was collected.
func (c *Collected) Open(index int) (io.ReadCloser, error) { return c.spool.Open(index) }

// Rebuild writes the shards of out, none of which was collected, each checked against the plan when Rebuild returns nil.
func (c *Collected) Rebuild(ctx context.Context, out map[int]io.Writer) error {
	shards, closeShards, err := c.shards()
	if err != nil {
		return err
	}
	defer closeShards()
	return fragment.Rebuild(ctx, c.Plan, shards, out)
}

func (c *Collected) shards() (map[int]io.Reader, func(), error) {
	return c.spool.Shards(c.have)
}

// Leave ends the use of what was collected. It stays for the next Collect to go on with.
func (c *Collected) Leave() error { return c.leave() }

// Discard ends the use of what was collected and removes it.
func (c *Collected) Discard() error { return errors.Join(c.spool.Remove(), c.leave()) }
