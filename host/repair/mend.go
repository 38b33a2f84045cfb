package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// errBusy tells that a publish or another repair of the same tessera is under way.
var errBusy = errors.New("its fragments are being moved already")

// errElsewhere tells that somebody else says to be publishing or repairing the same tessera.
var errElsewhere = errors.New("somebody else repairs it just now")

// errSpace tells that rebuilding would leave less free space than the operator wants.
var errSpace = errors.New("not enough free space to rebuild")

// mend rebuilds what an order names and finds holders for it. It returns how many fragments found one.
func (s *Service) mend(ctx context.Context, o order) (placed int, err error) {
	done := s.Turns.Try(o.Tessera)
	if done == nil {
		return 0, errBusy
	}
	p, end := o.patient, func() {}
	if p.kept {
		end = s.contest.begin(o.Tessera)
	}
	defer func() { done(); end() }()
	defer func() { p.plan, p.holders, p.records = nil, nil, nil }() // many may follow
	if p.kept {
		if mine, err := s.claim(ctx, p); err != nil || !mine {
			return 0, err
		}
	}
	// what was wanting when the round began may have been placed since
	if err := errors.Join(s.assess(p), s.readPlan(p)); err != nil {
		return 0, err
	}
	report := p.report
	wanting, newcomers := report.Wanting()
	if o.Rebuild > 0 {
		wanting = health.AtMost(health.SuspectsLast(wanting, s.absent(p), s.longestGrace()), o.Rebuild)
	}
	if len(wanting) == 0 {
		return 0, nil
	}
	spool, err := fragment.OpenSpool(s.FS, "spool/repair-"+o.Tessera.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, spool.Remove()) }()
	what := scatter.Order{
		Plan: p.plan, Missing: wanting, Newcomers: newcomers, Intent: sdk.Intent_REPAIR, Purpose: p.purpose(),
		Prepare: func(ctx context.Context) error { return s.prepare(ctx, p.plan, wanting, spool) },
		Open:    func(i int) (io.ReadCloser, error) { return s.paced(ctx, spool, i) },
	}
	if p.kept {
		s.asHolder(&what, p)
	}
	result, err := s.Distributor.Distribute(ctx, what)
	for _, f := range result.Failures {
		s.Log.Info("a peer did not take a rebuilt fragment", "tessera", o.Tessera.Short(), "err", f)
	}
	left := countMissing(result.Left)
	switch {
	case err != nil:
	case newcomers > 0 && len(result.Placed) == 0:
		err = fmt.Errorf("it is on %d peers, and no further one was found: %s", report.Peers, result.Reason)
	case left > 0 && newcomers == 0:
		err = fmt.Errorf("%d fragments found no holder: %s", left, result.Reason)
	}
	if len(result.Placed) > 0 {
		s.Log.Info("repaired", "tessera", o.Tessera.Short(), "placed", len(result.Placed), "left", left)
	}
	return len(result.Placed), err
}

// asHolder lets a repair by a holder say what it holds, and take what falls to itself.
func (s *Service) asHolder(o *scatter.Order, p *patient) {
	self := s.Network.Self(p.row.Tessera)
	self.Last = p.lost
	o.Self, o.SelfHolds, o.Holds = &self, p.mine, p.mine[0]+1
	o.Keep = func(ctx context.Context, index int, body io.Reader) error {
		return s.Keeper.Keep(ctx, p.plan, index, body)
	}
}

// prepare puts the fragments that are wanted into the spool.
func (s *Service) prepare(ctx context.Context, plan *fragment.FragmentPlan, wanted []health.Missing, spool *fragment.Spool) error {
	if err := s.room(plan, wanted); err != nil {
		return err
	}
	return s.rebuild(ctx, plan, wanted, spool)
}

func (s *Service) room(plan *fragment.FragmentPlan, missing []health.Missing) error {
	free, err := s.FS.Free()
	if err != nil {
		return err
	}
	if need := uint64(len(missing)) * uint64(plan.ShardSize()); free < need+s.config.MinFree {
		return fmt.Errorf("%w: %s free, %s needed and %s to stay free", errSpace,
			humanize.IBytes(free), humanize.IBytes(need), humanize.IBytes(s.config.MinFree))
	}
	return nil
}

// rebuild puts the missing shards into the spool, each checked against the plan: from the owner's own
// copy where it is whole, which costs the network nothing, else from the fragments of peers.
func (s *Service) rebuild(ctx context.Context, plan *fragment.FragmentPlan, missing []health.Missing, spool *fragment.Spool) error {
	if plan.Owner() == s.Owner {
		err := s.encodeOwn(ctx, plan, only{spool, health.Indexes(missing)})
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.Log.Warn("the own copy cannot be coded again, asking peers", "tessera", plan.Tessera.Short(), "err", err)
	}
	return s.gatherAgain(ctx, plan, missing, spool)
}

// encodeOwn codes the owner's own copy into a sink; what is in it counts only when there is no error.
func (s *Service) encodeOwn(ctx context.Context, plan *fragment.FragmentPlan, sink fragment.Sink) error {
	packed := fragment.Piped(func(w io.Writer) error { return s.Archive.Pack(ctx, plan.Tessera, w) })
	defer packed.Close()
	hashes, err := fragment.Encode(ctx, plan.Params, packed, sink)
	if err != nil {
		return err
	}
	if !slices.Equal(hashes, plan.Fragments) {
		return fmt.Errorf("the own copy gives other shards than the plan: %w", digest.ErrMismatch)
	}
	return nil
}

// only is a sink that keeps some shards.
type only struct {
	fragment.Sink
	wanted []int
}

func (o only) Create(index int) (io.WriteCloser, error) {
	if slices.Contains(o.wanted, index) {
		return o.Sink.Create(index)
	}
	return discard{}, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// gatherAgain fetches enough other fragments and computes those that are missing, where what was fetched leaves
// room for them.
func (s *Service) gatherAgain(ctx context.Context, plan *fragment.FragmentPlan, missing []health.Missing, spool *fragment.Spool) (err error) {
	from, err := s.Collect(ctx, plan.Tessera)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Discard()) }()
	if err := s.room(plan, missing); err != nil {
		return err
	}
	out := map[int]io.Writer{}
	for _, i := range health.Indexes(missing) {
		w, err := spool.Create(i)
		if err != nil {
			return err
		}
		defer w.Close() // a shard that is cut short is noticed by whoever receives it
		if !from.Has(i) {
			out[i] = w
			continue
		}
		if err := copyShard(w, from, i); err != nil {
			return err
		}
	}
	if len(out) == 0 {
		return nil
	}
	return from.Rebuild(ctx, out)
}

// copyShard keeps a fragment that turned out to be there after all.
func copyShard(w io.Writer, from Collected, index int) error {
	r, err := from.Open(index)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// paced opens a rebuilt shard to be sent no faster than the operator lets repairs go.
func (s *Service) paced(ctx context.Context, spool *fragment.Spool, index int) (io.ReadCloser, error) {
	body, err := spool.Open(index)
	if err != nil || s.config.Pace == nil {
		return body, err
	}
	return &pacedBody{body, ctx, s.config.Pace}, nil
}

type pacedBody struct {
	io.ReadCloser
	ctx  context.Context
	wait func(context.Context, int64) error
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if waited := b.wait(b.ctx, int64(n)); waited != nil {
		return n, waited
	}
	return n, err
}
