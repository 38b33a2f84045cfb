package fragment

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
)

// readLanes is how many goroutines read shards. They come from files, so two are worth it.
const readLanes = 2

// TooFewError tells that there are not enough shards to decode.
type TooFewError struct{ Have, Need int }

func (e *TooFewError) Error() string { return fmt.Sprintf("%d shards, %d are needed", e.Have, e.Need) }

// ParityMismatchError tells that a shard, as computed from others, is not the one the plan names.
// Where all inputs were verified, the plan itself is inconsistent: its owner signed checksums that do
// not belong together. It is also digest.ErrMismatch.
type ParityMismatchError struct {
	Index int
	Want  digest.Hash // by the plan
	Got   digest.Hash // of what was computed
}

func (e *ParityMismatchError) Error() string {
	return fmt.Sprintf("shard %d was computed as %s, the plan says %s", e.Index, e.Got.Short(), e.Want.Short())
}

// Unwrap is digest.ErrMismatch.
func (e *ParityMismatchError) Unwrap() error { return digest.ErrMismatch }

// Decode writes the packed tessera to w, from any p.Data of its shards. The shards must have been
// verified whole (VerifyShard): a wrong one may go unnoticed here. Data shards that had to be computed
// are hashed as they are made; one that is not the plan's is a *ParityMismatchError in place of nil,
// at the end. So nobody may commit what was written before Decode returned nil, and what a tessera's
// files hash to is for the reader of the tar stream to check.
//
// When all data shards are there nothing is computed. Too few shards are a *TooFewError. When ctx ends
// Decode returns as soon as the reads and the write under way do.
func Decode(ctx context.Context, plan *FragmentPlan, shards map[int]io.Reader, w io.Writer) error {
	if err := decode(ctx, plan, shards, w); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

func decode(ctx context.Context, plan *FragmentPlan, shards map[int]io.Reader, w io.Writer) error {
	m, err := newMender(ctx, plan, shards, func(i int) bool { return i < plan.Data })
	if err != nil {
		return err
	}
	defer m.stop()
	for stripe := range plan.stripes() {
		if err := m.next(stripe); err != nil {
			return err
		}
		var g errgroup.Group
		g.Go(func() error { return m.hash() })
		g.Go(func() error { return m.writeContent(stripe, w) })
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return m.check()
}

// Rebuild computes shards again from any plan.Data others and writes each index of out to its writer.
// The inputs must have been verified whole; each output is compared with the plan, and one that
// differs is a *ParityMismatchError in place of nil, at the end: nobody may commit an output before
// Rebuild returned nil. No index may be both in have and in out.
func Rebuild(ctx context.Context, plan *FragmentPlan, have map[int]io.Reader, out map[int]io.Writer) error {
	if err := rebuild(ctx, plan, have, out); err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	return nil
}

func rebuild(ctx context.Context, plan *FragmentPlan, have map[int]io.Reader, out map[int]io.Writer) error {
	for i := range out {
		if i < 0 || i >= plan.Total() || have[i] != nil {
			return fmt.Errorf("%w: shard %d of %d, and %d there", ErrParams, i, plan.Total(), len(have))
		}
	}
	m, err := newMender(ctx, plan, have, func(i int) bool { return out[i] != nil })
	if err != nil {
		return err
	}
	defer m.stop()
	for stripe := range plan.stripes() {
		if err := m.next(stripe); err != nil {
			return err
		}
		if err := m.writeShards(out); err != nil {
			return err
		}
	}
	return m.check()
}
