// Package policy answers: what does the operator's policy say, and may it?
//
// The engine puts a question to the deciders of a role in order, under a deadline, and takes the
// first answer that keeps the hard rules. A policy that fails, lies or is late costs a log line and a
// metric: the next one is asked, and in the end the default policy linked into the host. Every
// decision is recorded with the very bytes that were asked and answered, so that it can be explained
// and asked again.
//
// The hard rules hold whatever a policy says: no unknown, duplicate, full or denied peer, no fragment
// twice on a peer, the operator's caps (with the yielding of the subnet cap that the specification
// allows), never a fragment beyond the free space that is to stay free, and no repair postponed that
// is one loss away from being impossible.
package policy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// Policy is a policy as the engine asks it, whatever runs it: native code, WASM, a process. Each
// runtime lives in a folder below this one.
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

// Deadlines bound each question to each policy; zero means the default.
type Deadlines struct {
	Place  time.Duration // 1 s
	Admit  time.Duration // 100 ms
	Repair time.Duration // 2 s, for each page
}

// Config is what the operator chose.
type Config struct {
	// The deciders of each role, asked in order before the default.
	Placement, Reciprocity, Repair []Policy
	// NoDefaults drops the default policies, also as the last resort: then no answer is ErrNoAnswer.
	NoDefaults bool
	Deadlines  Deadlines
	// Denied says why a peer is never to be used, "" if it may be. Optional.
	Denied func(sdk.NodeID) string
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
	denied   func(sdk.NodeID) string
	asked    atomic.Uint64 // decisions so far; part of their ids

	deciders map[sdk.Role][]Policy
	deadline map[sdk.Role]time.Duration
	fallback Policy // nil without defaults
}

// New returns an engine over the configured deciders, with the defaults behind them. Close it; the
// configured policies then close with it.
func New(deps Deps, config Config) *Engine {
	e := &Engine{
		log: deps.Log, now: deps.Now, metrics: deps.Metrics, recorder: deps.Recorder, denied: config.Denied,
		deciders: map[sdk.Role][]Policy{
			sdk.RolePlacement:   config.Placement,
			sdk.RoleReciprocity: config.Reciprocity,
			sdk.RoleRepair:      config.Repair,
		},
		deadline: map[sdk.Role]time.Duration{
			sdk.RolePlacement:   orDefault(config.Deadlines.Place, time.Second),
			sdk.RoleReciprocity: orDefault(config.Deadlines.Admit, 100*time.Millisecond),
			sdk.RoleRepair:      orDefault(config.Deadlines.Repair, 2*time.Second),
		},
	}
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
	if e.denied == nil {
		e.denied = func(sdk.NodeID) string { return "" }
	}
	if !config.NoDefaults {
		e.addDefaults()
	}
	return e
}

// addDefaults puts the default policies behind the configured ones, and behind those, for when a
// policy failed, the same once more without a deadline: a busy machine may miss one.
func (e *Engine) addDefaults() {
	standard := native.New(plugins.DefaultName, plugins.Default())
	for role, configured := range e.deciders {
		e.deciders[role] = append(configured[:len(configured):len(configured)], standard)
	}
	e.fallback = standard
}

func orDefault(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}

// Close closes every policy once, and waits for those that were left alone at a deadline.
func (e *Engine) Close() error {
	closed := map[Policy]bool{}
	var errs []error
	for _, role := range []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair} {
		for _, p := range e.deciders[role] {
			if c, ok := p.(io.Closer); ok && !closed[p] {
				closed[p] = true
				errs = append(errs, c.Close())
			}
		}
	}
	return errors.Join(errs...)
}
