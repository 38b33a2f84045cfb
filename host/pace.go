package host

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/restore"
)

// pace keeps what repairs send and fetch together below a number of bytes a second. nil is no limit.
type pace struct{ limiter *rate.Limiter }

// paceStep is how many bytes may go at once.
const paceStep = 64 << 10

func newPace(perSecond config.Size) *pace {
	if perSecond <= 0 {
		return nil
	}
	return &pace{rate.NewLimiter(rate.Limit(perSecond), paceStep)}
}

// wait returns when n more bytes may go.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p == nil {
		return nil
	}
	for n > 0 {
		part := min(n, paceStep)
		if err := p.limiter.WaitN(ctx, int(part)); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// fetching slows a fetch down to the pace: each of its goroutines goes on once its bytes may have come.
func (p *pace) fetching(ctx context.Context) restore.Progress {
	if p == nil {
		return nil
	}
	told := make(chan int64, 1) // the bytes that were waited for
	told <- 0
	return func(done, _ int64) {
		last := <-told
		told <- max(last, done)
		_ = p.wait(ctx, done-last) // where ctx ends, the fetch does
	}
}
