// Package repair answers: what is missing, and how does it come back?
//
// A round asks every known holder what it holds, tells the gone from the late, counts what each
// tessera can still lose, lets the repair policy order the work, and rebuilds only what is missing.
// One bad shard or one tessera that cannot be helped never stops the round.
package repair

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Network is what repair needs of the peers.
type Network interface {
	// Attest asks a peer what it holds of these tesseras and verifies the signed answer. It covers
	// the first so many of them, and what is held is in their order.
	Attest(ctx context.Context, holder identity.Contact, tesseras []sdk.TesseraID) (owner sdk.OwnerKey, held []wire.Holding, covered int, err error)
	// Locate gives a holder the address at which it was met last.
	Locate(identity.Contact) identity.Contact
	// Ping tells whether a peer is alive.
	Ping(ctx context.Context, to identity.Contact) error
	// Prove challenges a peer for a fragment and checks the answer, which is proof.ErrWrong when it
	// proves nothing.
	Prove(ctx context.Context, holder identity.Contact, c proof.Claim, nonce [32]byte, whole bool) (peer.Proof, error)
	// Watch asks a peer how long ago it checked each of these tesseras, and which of them it is moving.
	Watch(ctx context.Context, to identity.Contact, tesseras []sdk.TesseraID) ([]wire.CheckHeard, error)
	// Others names those who may hold fragments of a tessera, but for those who are known to be out of
	// reach.
	Others(ctx context.Context, t sdk.TesseraID) ([]identity.Contact, error)
	// Owners gives the nodes of owners that are not known to be silent.
	Owners() map[sdk.OwnerKey][]identity.Contact
	// Seen is when a peer was last heard of; zero is never.
	Seen(sdk.NodeKey) time.Time
	// Self is this node as one that could hold a fragment of a tessera.
	Self(sdk.TesseraID) scatter.Candidate
	// Subnet is the one this node is in, "" where it is not known.
	Subnet() string
	// RoundTrip is how long a question and its answer take to a peer and back; 0 = not measured.
	RoundTrip(identity.Contact) time.Duration
}

// Documents keeps plans as plain files. A missing one is fs.ErrNotExist.
type Documents interface {
	Plan(sdk.TesseraID) ([]byte, error)
}

// Archive has the owner's own tesseras.
type Archive interface {
	Pack(ctx context.Context, id sdk.TesseraID, w io.Writer) error
}

// Collected is enough of a tessera's fragments, fetched from peers and checked.
type Collected interface {
	Has(index int) bool
	Open(index int) (io.ReadCloser, error)
	Rebuild(ctx context.Context, out map[int]io.Writer) error
	Discard() error
}

// Policy answers what to repair, in which order and when; the answer keeps the host's rules.
type Policy interface {
	Repair(ctx context.Context, request *sdk.RepairRequest) (*policy.RepairPlan, error)
}

// Distributor finds holders for fragments.
type Distributor interface {
	Distribute(ctx context.Context, o scatter.Order) (scatter.Result, error)
}

// Deps are the rooms repair works with.
type Deps struct {
	FS          vfs.FS
	Network     Network
	Documents   Documents
	Archive     Archive
	Collect     func(ctx context.Context, id sdk.TesseraID) (Collected, error)
	Catalog     *catalog.Catalog
	Book        *holders.Book
	Policy      Policy
	Distributor Distributor
	Turns       *scatter.Turns
	Keeper      Keeper
	Self        sdk.NodeKey
	Owner       sdk.OwnerKey
	Log         *slog.Logger
	Now         func() time.Time
}

// Config is what the operator chose.
type Config struct {
	Interval time.Duration // between two rounds, by which the policy measures its patience
	Replicas int           // least number of distinct peers of a tessera
	Proofs   int           // fragments of each holder that are drawn for a proof each round; 0 = none
	// Whole is in how many rounds, on average, one holder is asked for the keyed hash of a whole fragment,
	// for which the owner has to code the tessera again; 0 = never.
	Whole            int
	MinFree          uint64 // bytes that stay free on the disk
	DeficitAllowance uint64 // by which an owner may owe us
	// Institutional tells whether this node has verified an owner as an institution; nil = never.
	Institutional func(sdk.OwnerKey) bool
	// Pace returns when so many more bytes may be sent; nil = at once.
	Pace func(ctx context.Context, n int64) error
}

// Service repairs.
type Service struct {
	Deps
	config  Config
	rounds  *rounds
	sought  sought
	contest contest
	page    int // tesseras that are in memory at a time, with their plans and holders
}

// New returns a Service.
func New(d Deps, c Config) *Service {
	return &Service{Deps: d, config: c, rounds: newRounds(c.Interval), page: pageSize}
}

// Summary is what a round did.
type Summary struct {
	Checked  int // tesseras
	Healthy  int
	Repaired int // tesseras that got fragments back
	Rebuilt  int // fragments (copies) with a new holder
	Failed   []Failure
}

// Failure is a tessera that could not be helped this time, and why.
type Failure struct {
	Tessera sdk.TesseraID
	Err     error
}

// Step is one round: check everything, then repair what the policy orders. It may be stopped at any
// moment and begun again; every fragment that found a holder stays found.
func (s *Service) Step(ctx context.Context) error {
	summary, err := s.Run(ctx, nil)
	for _, f := range summary.Failed {
		s.Log.Warn("a tessera could not be repaired now", "tessera", f.Tessera.Short(), "err", f.Err)
	}
	return err
}

// Run is Step for some tesseras, or for all when only is nil, with a summary. Tesseras named by a
// person are repaired now, whatever the policy would wait for; of what is kept for others too, whosever turn it is.
func (s *Service) Run(ctx context.Context, only []sdk.TesseraID) (Summary, error) {
	w, err := s.check(ctx, only)
	if err != nil {
		return Summary{}, err
	}
	if err := s.checkKept(ctx, only, &w); err != nil {
		return Summary{}, err
	}
	summary := Summary{Checked: w.checked, Healthy: w.healthy, Failed: w.broken}
	plan, err := s.order(ctx, w)
	if err != nil {
		return summary, err
	}
	for _, o := range plan {
		if ctx.Err() != nil {
			return summary, ctx.Err()
		}
		if only == nil && (o.Rebuild == 0 || o.Wait > 0) {
			continue
		}
		rebuilt, err := s.mend(ctx, o)
		summary.Rebuilt += rebuilt
		if rebuilt > 0 {
			summary.Repaired++
		}
		if err != nil {
			summary.Failed = append(summary.Failed, Failure{o.Tessera, err})
		}
	}
	return summary, nil
}

// order asks the policy about everything that is not at its target.
func (s *Service) order(ctx context.Context, w ward) ([]order, error) {
	now := s.Now()
	request := &sdk.RepairRequest{
		Weather: w.climate.weather, IntervalMs: uint64(s.config.Interval.Milliseconds()),
		NowUnixMs: now.UnixMilli(), Seed: uint64(now.UnixNano()), DeficitAllowance: s.config.DeficitAllowance,
	}
	asked := map[sdk.TesseraID]*patient{}
	for _, p := range w.patients {
		asked[p.row.Tessera] = p
		request.Tesseras = append(request.Tesseras, p.health)
	}
	if len(asked) == 0 {
		return nil, nil
	}
	answer, err := s.Policy.Repair(ctx, request)
	if err != nil {
		return nil, err
	}
	return match(asked, answer), nil
}

// order is a patient and what the policy said.
type order struct {
	Planned
	patient *patient
}

// match puts the policy's orders first, in its order, and after them what it lets wait.
func match(asked map[sdk.TesseraID]*patient, answer *policy.RepairPlan) []order {
	var out []order
	for _, o := range answer.Orders {
		p := asked[o.Tessera]
		delete(asked, o.Tessera)
		wanting, _ := p.report.Wanting()
		rebuild := countMissing(wanting)
		if o.Rebuild > 0 {
			rebuild = min(rebuild, o.Rebuild)
		}
		out = append(out, order{Planned{o.Tessera, p.report, rebuild, o.Wait, o.Reason}, p})
	}
	for _, skipped := range answer.Skipped {
		if p := asked[skipped.Tessera]; p != nil {
			delete(asked, skipped.Tessera)
			out = append(out, order{Planned{skipped.Tessera, p.report, 0, 0, skipped.Reason}, p})
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(asked), func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) }) {
		p := asked[id]
		out = append(out, order{Planned{id, p.report, 0, 0, answer.Reason}, p})
	}
	return out
}

func countMissing(missing []health.Missing) (n int) {
	for _, m := range missing {
		n += m.Copies
	}
	return n
}

// loadPlan reads the plan of a tessera and verifies it, unless its text is the one that was verified
// before: then verified is what it was.
func (s *Service) loadPlan(row catalog.PlanRow) (plan *fragment.FragmentPlan, verified digest.Hash, err error) {
	text, err := s.Documents.Plan(row.Tessera)
	if err != nil {
		return nil, verified, fmt.Errorf("read plan: %w", err)
	}
	verified = digest.Of(text)
	if verified == row.Verified {
		plan, err = fragment.ParsePlan(text)
	} else {
		plan, err = fragment.OpenPlan(text)
	}
	if err == nil && plan.Tessera != row.Tessera {
		err = fmt.Errorf("%w: it is that of %s", fragment.ErrPlan, plan.Tessera.Short())
	}
	return plan, verified, err
}
