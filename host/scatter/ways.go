package scatter

import (
	"context"
	"sync"
)

// ways are as many as fragments may be on their way at once. A fragment whose bytes are all out gives its way
// to the next: while its holder makes it durable the line would lie idle. One fewer than there are ways may wait
// like that for their receipts beside those on their way: with a single way it is one after the other.
type ways chan struct{}

// passage is the use that one delivery makes of a way.
type passage struct {
	ways ways

	mu   sync.Mutex // guards held
	held bool
}

// take waits for a way, unless this delivery has one. It is false when ctx has ended.
func (p *passage) take(ctx context.Context) bool {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case p.ways <- struct{}{}:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	return true
}

// leave gives the way to the next, if this delivery has one.
func (p *passage) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		<-p.ways
	}
}
