package fragment

import (
	"context"
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/digest"
)

// VerifyShard reads a shard whole and tells whether it is the one the plan names: digest.ErrMismatch
// if not. It must be asked of every shard before Decode or Rebuild see it.
func VerifyShard(ctx context.Context, plan *FragmentPlan, index int, r io.Reader) error {
	if index < 0 || index >= len(plan.Fragments) {
		return fmt.Errorf("verify shard %d of %d: %w", index, len(plan.Fragments), ErrParams)
	}
	if err := verify(ctx, plan.Fragments[index], plan.ShardSize(), r); err != nil {
		return fmt.Errorf("verify shard %d: %w", index, err)
	}
	return nil
}

func verify(ctx context.Context, want digest.Hash, size int64, r io.Reader) error {
	checked := digest.NewReader(r, want, size)
	buf := make([]byte, min(size+1, 256<<10))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := checked.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
