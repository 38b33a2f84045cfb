package policy

import (
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Status is how the policies do.
type Status struct {
	Generation  uint64 // which configuration since the engine was made is in force
	Since       time.Time
	CanRollBack bool
	Policies    []Stats // by role, in the order they are asked
}

// Stats is how one policy does at its place in a chain.
type Stats struct {
	Role    sdk.Role
	Part    Part
	Closed  bool // a guard without which nothing is decided
	Name    string
	Runtime string
	Version string // as it describes itself, "" where it does not
	Digest  string // of its module or program, "" where there is none
	State   State
	Calls   uint64
	Errors  uint64 // of the calls, those without a valid answer
	Missed  uint64 // questions it was left out of while taken out
	P50     time.Duration
	P99     time.Duration // both of the last few thousand calls

	LastError   string
	LastErrorAt time.Time
}

// Status tells how the policies in force do. It is the zero value once the engine is closed.
func (e *Engine) Status() Status {
	e.mu.Lock()
	g, can := e.current, e.previous != nil
	e.mu.Unlock()
	if g == nil {
		return Status{}
	}
	s := Status{Generation: g.number, Since: g.since, CanRollBack: can}
	for _, role := range roles() {
		l := g.lines[role]
		for i, p := range l.posts() {
			stats := p.stats()
			stats.Closed = i < len(l.guards) && l.guards[i].closed
			s.Policies = append(s.Policies, stats)
		}
	}
	return s
}

func (p *post) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := p.circuit.current()
	if !p.loaded {
		state = NotLoaded
	}
	return Stats{
		Role: p.role, Part: p.part, Name: p.Name(), Runtime: p.Runtime(), Version: p.version, Digest: p.digest,
		State: state, Calls: p.calls, Errors: p.errors, Missed: p.missed,
		P50: p.took.quantile(50), P99: p.took.quantile(99),
		LastError: p.failure, LastErrorAt: p.failed,
	}
}
