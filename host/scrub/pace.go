package scrub

import (
	"context"
	"time"
)

// step is how many bytes at most are waited for at a time.
const step = 512 << 10

// rest is how many times as long as a read took nothing is read then, where the operator set no rate:
// the scrub has a quarter of what the disk gives.
const rest = 3

// pace gives a writer that takes what is read no faster than it may come. paced is false where somebody
// waits for the end: then only the operator's rate counts.
func (s *Service) pace(ctx context.Context, paced bool) *pacer {
	return &pacer{s: s, ctx: ctx, rests: paced && s.limit == nil, last: time.Now()}
}

type pacer struct {
	s     *Service
	ctx   context.Context
	rests bool
	last  time.Time // when the reader began to read what comes next
}

// Write implements io.Writer.
func (p *pacer) Write(b []byte) (int, error) {
	if err := p.pass(len(b)); err != nil {
		return 0, err
	}
	return len(b), p.ctx.Err()
}

// pass waits until n bytes that were read may have been.
func (p *pacer) pass(n int) error {
	err := p.wait(n)
	p.last = time.Now()
	return err
}

func (p *pacer) wait(n int) error {
	if p.s.limit != nil {
		for n > 0 {
			part := min(n, p.s.limit.Burst())
			if err := p.s.limit.WaitN(p.ctx, part); err != nil {
				return err
			}
			n -= part
		}
		return nil
	}
	if !p.rests {
		return nil
	}
	t := time.NewTimer(rest * time.Since(p.last))
	defer t.Stop()
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-t.C:
		return nil
	}
}
