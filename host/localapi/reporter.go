package localapi

import (
	"sync"
	"time"
)

// reportEvery is how often news of one stage is passed on; more would only be work.
const reportEvery = 100 * time.Millisecond

// reporter passes progress on: not too often, one at a time, and never after stop.
type reporter struct {
	send func(Progress)

	mu      sync.Mutex // guards below, and is held while sending
	last    Progress
	when    time.Time
	stopped bool
}

func newReporter(send func(Progress)) *reporter { return &reporter{send: send} }

// report is a ProgressFunc.
func (r *reporter) report(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || p == r.last {
		return
	}
	finished := p.Total > 0 && p.Done >= p.Total
	if now := time.Now(); finished || p.Stage != r.last.Stage || now.Sub(r.when) >= reportEvery {
		r.when, r.last = now, p
		r.send(p)
	}
}

// stop returns when nothing is being sent and nothing will be.
func (r *reporter) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
}
