package policy

import (
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// postKey tells posts apart.
type postKey struct {
	role sdk.Role
	part Part
	Policy
}

// post is a policy at its place in a chain, with what is known of how it does there. It outlives a
// swap that leaves the policy in its place.
type post struct {
	postKey
	digest  string
	version string
	loaded  bool // else failure says why not

	mu      sync.Mutex // guards below
	circuit circuit
	took    histogram
	calls   uint64
	errors  uint64
	missed  uint64 // questions while it was taken out
	failure string // the last
	failed  time.Time
}

func newPost(key postKey) *post {
	p := &post{postKey: key, loaded: true}
	if u, ok := key.Policy.(*Unusable); ok {
		p.loaded, p.failure = false, Clean(u.Reason().Error())
	}
	if d, ok := key.Policy.(Digester); ok {
		p.digest = d.Digest()
	}
	if d, ok := key.Policy.(Describer); ok {
		p.version = Clean(d.Description().GetVersion())
	}
	return p
}

// admit asks for leave to put a question. The last resort is never taken out.
func (p *post) admit(now time.Time) (ticket, bool) {
	if p.part == PartLastResort {
		return ticket{}, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.circuit.admit(now)
	if !ok {
		p.missed++
	}
	return t, ok
}

// done notes a result.
func (p *post) done(t ticket, step Step, now time.Time, b Breaker) (taken, back bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.took.add(step.Took)
	failed := step.Outcome.isFailure()
	if failed {
		p.errors++
		p.failure, p.failed = step.Error, now
	}
	if p.part == PartLastResort {
		return false, false
	}
	return p.circuit.done(t, failed, now, b)
}

func (p *post) abandon(t ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.circuit.abandon(t)
}
