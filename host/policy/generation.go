package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

var (
	// ErrClosed tells that the engine was closed.
	ErrClosed = errors.New("policy engine is closed")
	// ErrNoPrevious tells that there is no configuration to go back to.
	ErrNoPrevious = errors.New("no earlier policies to go back to")
)

// generation is a configuration in force, or one that was. A question keeps to the generation it began
// with.
type generation struct {
	number  uint64
	since   time.Time // when its policies were taken in
	denied  func(sdk.NodeID) string
	breaker Breaker
	lines   map[sdk.Role]*line

	leases  int  // questions under way; guarded by Engine.mu
	retired bool // its policies are let go of; guarded by Engine.mu
}

// posts lists every post of every role.
func (g *generation) posts() (out []*post) {
	for _, role := range roles() {
		out = append(out, g.lines[role].posts()...)
	}
	return out
}

// policies lists every policy once.
func (g *generation) policies() (out []Policy) {
	seen := map[Policy]bool{}
	for _, p := range g.posts() {
		if !seen[p.Policy] {
			seen[p.Policy] = true
			out = append(out, p.Policy)
		}
	}
	return out
}

// newGenerationLocked takes a configuration's policies in. A policy that keeps its post keeps its
// figures and the state of its breaker.
func (e *Engine) newGenerationLocked(config Config) *generation {
	known := e.postsLocked()
	at := func(role sdk.Role, part Part, p Policy) *post {
		key := postKey{role, part, p}
		if known[key] == nil {
			known[key] = newPost(key)
		}
		return known[key]
	}
	e.numbers++
	g := &generation{
		number: e.numbers, since: e.now(), denied: config.Denied, breaker: config.Breaker.orDefaults(), lines: map[sdk.Role]*line{},
	}
	if g.denied == nil {
		g.denied = func(sdk.NodeID) string { return "" }
	}
	for _, role := range roles() {
		g.lines[role] = config.newLine(role, e.linked, at)
	}
	for _, p := range g.policies() {
		e.uses[p]++
	}
	e.live++
	return g
}

// postsLocked are those of the generations that are at hand.
func (e *Engine) postsLocked() map[postKey]*post {
	out := map[postKey]*post{}
	for _, g := range []*generation{e.previous, e.current} {
		if g == nil {
			continue
		}
		for _, p := range g.posts() {
			out[p.postKey] = p
		}
	}
	return out
}

// enter begins a question; leave ends it.
func (e *Engine) enter() (*generation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.current.leases++
	return e.current, nil
}

func (e *Engine) leave(g *generation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g.leases--
	e.retireLocked(g)
}

// retireLocked lets go of a generation that nobody can need any more.
func (e *Engine) retireLocked(g *generation) {
	if g == nil || g.leases > 0 || g.retired || g == e.current || g == e.previous {
		return
	}
	g.retired = true
	for _, p := range g.policies() {
		e.dropLocked(p)
	}
	e.live--
	e.drained.Broadcast()
}

// dropLocked closes a policy that no generation holds any more. Closing may take a while, so nobody
// waits for it but Close.
func (e *Engine) dropLocked(p Policy) {
	if e.uses[p]--; e.uses[p] > 0 {
		return
	}
	delete(e.uses, p)
	c, ok := p.(io.Closer)
	if !ok {
		return
	}
	e.closing.Go(func() {
		err := c.Close()
		if err == nil {
			return
		}
		err = fmt.Errorf("close policy %s: %w", p.Name(), err)
		e.log.Warn("policy", "err", err)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.failures = append(e.failures, err)
	})
}

// Swap puts another configuration in force, after each of its policies that is new to its post has
// passed the self-test. Questions under way end on the configuration they began with. The one in
// force so far stands by for Rollback; the one that stood by until now is closed when its last
// question has ended. Swap takes the configuration's policies over also when it fails: then nothing
// else has changed, and those not in use are closed. Errors: ErrSelfTest, ErrClosed, that of ctx.
func (e *Engine) Swap(ctx context.Context, config Config) error {
	e.swapping.Lock()
	defer e.swapping.Unlock()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errors.Join(ErrClosed, config.Close())
	}
	known := e.postsLocked()
	next := e.newGenerationLocked(config)
	e.mu.Unlock()

	err := e.selfTest(ctx, next, known)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && e.closed {
		err = ErrClosed
	}
	if err != nil {
		e.retireLocked(next)
		return fmt.Errorf("swap policies: %w", err)
	}
	displaced := e.previous
	e.previous, e.current = e.current, next
	e.retireLocked(displaced)
	e.log.Info("policies swapped", "generation", next.number)
	return nil
}

// selfTest tests who is new to a post.
func (e *Engine) selfTest(ctx context.Context, next *generation, known map[postKey]*post) error {
	for _, p := range next.posts() {
		if known[p.postKey] != nil || p.part == PartLastResort {
			continue
		}
		if err := SelfTest(ctx, p.role, p.part, p.Policy); err != nil {
			return err
		}
	}
	return nil
}

// Rollback puts the configuration in force that was so before the last Swap; the one it replaces
// stands by in its turn. Errors: ErrNoPrevious, ErrClosed.
func (e *Engine) Rollback() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.previous == nil:
		return ErrNoPrevious
	}
	e.current, e.previous = e.previous, e.current
	e.log.Info("policies rolled back", "generation", e.current.number, "from", e.previous.number)
	return nil
}

// Close waits for the questions under way, closes every policy once, and waits for those that were
// left alone at a deadline. Questions from then on are ErrClosed.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	current, previous := e.current, e.previous
	e.closed, e.current, e.previous = true, nil, nil
	e.retireLocked(current)
	e.retireLocked(previous)
	for e.live > 0 {
		e.drained.Wait()
	}
	if e.linked != nil {
		e.dropLocked(e.linked)
	}
	e.mu.Unlock()
	e.closing.Wait()
	return errors.Join(e.failures...)
}
