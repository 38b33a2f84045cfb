// Package policy answers: what do the operator's policies say, and may they?
//
// The engine puts a question to the chain of a role. The guards are asked first, all of them, the same
// question; what they say is merged so that their order does not matter, and can only narrow what may be
// answered. Then the deciders are asked in order, and the first valid answer that is not PASS stands;
// behind them comes the default policy, and behind that, after a failure only, the default's own source
// linked into the host. A policy that fails, lies or is late costs a log line and a metric; one that does
// so again and again is taken out and probed later. The whole chain can be swapped while questions are
// under way, and swapped back. Every decision is recorded with the very bytes that were asked and
// answered, so that it can be explained and asked again.
//
// The hard rules hold whatever a policy says: no unknown, duplicate, full or denied peer, no fragment
// twice on a peer, the operator's caps (with the yielding of the subnet cap that the specification
// allows), never a fragment beyond the free space that is to stay free, and no repair postponed that
// is one loss away from being impossible.
package policy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Policy is a policy as the engine asks it, whatever runs it: native code, WASM, a process. Each
// runtime lives in a folder below this one. A policy is known by its identity, so it must be
// comparable: a pointer. One that is an io.Closer is closed once no chain holds it any more.
type Policy interface {
	// Name is its one name: key in the configuration, name in the log, label in the metrics.
	Name() string
	// Runtime is "native", "wasm" or "process".
	Runtime() string
	// Ask hands over an encoded request and returns the encoded response. It returns by the
	// context's deadline. The request is shared and must not be changed; the response is the
	// engine's. An error means that the policy failed; a refusal is an answer, not an error.
	Ask(ctx context.Context, role sdk.Role, request []byte) (response []byte, err error)
}

// Digester is a policy that knows the SHA-256 of the module or program behind it, as 64 lower-case
// hexadecimal digits.
type Digester interface {
	Digest() string
}

// Describer is a policy that can say what it is.
type Describer interface {
	Description() *sdk.Description
}

// Chain is who is asked in one role.
type Chain struct {
	Guards   []Guard  // all are asked, before anybody else
	Deciders []Policy // in order; the first answer stands
	// Default comes after the deciders. Nil is the default policy linked into the host.
	Default Policy
}

// Guard is a policy that may narrow what the deciders are asked, and never loosen it. A failing one
// is left out unless it is closed.
type Guard struct {
	Policy Policy
	Closed bool // nothing is decided without it: its failure defers the decision
}

// Config is what the operator chose.
type Config struct {
	Placement, Reciprocity, Repair Chain
	// NoDefaults drops the default policies, also as the last resort: then no answer means to ask
	// again later.
	NoDefaults bool
	// LastResort is asked after a failure, when nobody else has answered, without a deadline: a busy
	// machine may miss one. Nil is the default policies linked into the host.
	LastResort Policy
	Deadlines  Deadlines
	Breaker    Breaker
	// Denied says why a peer is never to be used, "" if it may be. Optional.
	Denied func(sdk.NodeID) string
}

// Deadlines bound each question to each policy; zero means the default.
type Deadlines struct {
	Place  time.Duration // 1 s
	Admit  time.Duration // 100 ms
	Repair time.Duration // 2 s, for each page
}

// Deps are what the engine needs of others; all of them may be left out.
type Deps struct {
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  Metrics
	Recorder Recorder
}

// Engine asks policies. It is safe for concurrent use.
type Engine struct {
	log      *slog.Logger
	now      func() time.Time
	metrics  Metrics
	recorder Recorder
	linked   Policy        // the default policies linked into the host; nil where they are compiled out
	asked    atomic.Uint64 // decisions so far; part of their ids

	swapping sync.Mutex     // held while a new configuration is tested and put in force
	closing  sync.WaitGroup // policies being closed

	mu       sync.Mutex // guards below, and the leases of every generation
	current  *generation
	previous *generation    // stands by for Rollback
	numbers  uint64         // generations so far
	live     int            // generations whose policies are open
	drained  *sync.Cond     // live fell
	uses     map[Policy]int // by how many live generations a policy is held
	failures []error        // of closing policies
	closed   bool
}

// New returns an engine over a configuration, with the defaults behind it. Close it; the policies of
// the configuration then close with it.
func New(deps Deps, config Config) *Engine {
	e := &Engine{
		log: deps.Log, now: deps.Now, metrics: deps.Metrics, recorder: deps.Recorder,
		linked: linkedDefaults(), uses: map[Policy]int{},
	}
	e.drained = sync.NewCond(&e.mu)
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.metrics == nil {
		e.metrics = noMetrics{}
	}
	if e.recorder == nil {
		e.recorder = noRecorder{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.linked != nil {
		e.uses[e.linked]++ // the engine's own, also while a configuration does without it
	}
	e.current = e.newGenerationLocked(config)
	return e
}
