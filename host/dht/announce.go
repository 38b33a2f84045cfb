package dht

import (
	"context"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/sdk"
)

// Announce tells the network that this node holds fragments of tesseras: signed pointers go to the
// nodes nearest to each id, in batches. It returns how many pointers were stored, over all nodes. A
// node that knows no other is ErrNobody.
func (d *DHT) Announce(ctx context.Context, tesseras []sdk.TesseraID) (stored int, err error) {
	if len(tesseras) == 0 {
		return 0, nil
	}
	var result core.Announced
	err = d.wait(ctx, func(now time.Time, done func()) *core.Task {
		return d.core.Announce(now, tesseras, func(_ time.Time, a core.Announced) {
			result = a
			done()
		})
	})
	switch {
	case err != nil:
		return result.Stored, fmt.Errorf("announce: %w", context.Cause(ctx))
	case result.NoAddr:
		return 0, fmt.Errorf("announce: %w: no address to be dialled at is known yet", ErrNobody)
	case result.Stored == 0:
		return 0, fmt.Errorf("announce %d tesseras: %w", len(tesseras), ErrNobody)
	}
	return result.Stored, nil
}
