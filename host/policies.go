package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/host/policy/process"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// policies are what decides on a node: the engine, the policies that it asks, and the log of what
// they decide.
type policies struct {
	engine    *policy.Engine
	decisions *policy.Counters
	explained *decisions.Log

	loader    policyLoader
	lent      *Defaults     // the default policies of several nodes; nil = this one loads its own
	reloading sync.Mutex    // held while the configuration in force changes; guards below
	inForce   config.Policy // as the operator has it
	before    config.Policy // that stands by, as the engine's does
	standard  policy.Policy // the default policies; open while one of the two has them
}

// WithDeadlines gives policies other deadlines than the standard ones; tests of what policies decide do, for
// a busy machine starves a program for longer than an operator would wait for it.
func WithDeadlines(d policy.Deadlines) Option { return func(n *Node) { n.loader.deadlines = d } }

// openPolicies loads the policies and opens the log of what they decide. A policy that cannot be
// loaded counts as one that fails: the node works by its fallbacks, and says so.
func (n *Node) openPolicies(ctx context.Context) (err error) {
	p := &n.policies
	p.explained, err = decisions.Open(n.dir, decisionsDir, decisions.Config{Keep: int64(n.cfg.Policy.DecisionsKept), Log: n.log})
	if err != nil {
		return err
	}
	p.loader.cacheDirs, p.loader.log = n.cacheDirs(), n.log
	p.inForce = n.cfg.Policy
	chain, err := p.loader.load(ctx, p.inForce, p.lent.lend())
	if err != nil {
		return err
	}
	p.standard = chain.Placement.Default
	p.decisions = &policy.Counters{}
	p.engine = policy.New(policy.Deps{Log: n.log, Metrics: p.decisions, Recorder: p.explained}, chain)
	return nil
}

// cacheDirs are where compiled modules may be kept, the best first: a folder that all nodes of this
// user share, and one of this node, for a user without a home.
func (n *Node) cacheDirs() []string {
	own := filepath.Join(n.dataDir, "cache", "wasm")
	shared, err := wasm.DefaultCacheDir()
	if err != nil {
		return []string{own}
	}
	return []string{shared, own}
}

// ReloadPolicies puts newly read policies in force, or leaves everything as it is: here one that
// cannot be loaded, or gives no valid answer to a simple question, is an error.
func (n *Node) ReloadPolicies(ctx context.Context, cfg config.Policy) error {
	p := &n.policies
	p.reloading.Lock()
	defer p.reloading.Unlock()
	loader := p.loader
	loader.strict = true
	chain, err := loader.load(ctx, cfg, p.reusable())
	if err != nil {
		return err
	}
	if err := p.engine.Swap(ctx, chain); err != nil {
		return err
	}
	p.before, p.inForce = p.inForce, cfg
	if cfg.Defaults {
		p.standard = chain.Placement.Default
	}
	return nil
}

// reusable are the default policies in force, which keep their figures; nil where they are not, or
// could not be loaded. reloading is held.
func (p *policies) reusable() policy.Policy {
	if _, unusable := p.standard.(*policy.Unusable); unusable || !p.inForce.Defaults {
		return nil
	}
	return p.standard
}

// RollbackPolicies puts those in force again that the last reload replaced. Errors: policy.ErrNoPrevious.
func (n *Node) RollbackPolicies() error {
	p := &n.policies
	p.reloading.Lock()
	defer p.reloading.Unlock()
	if err := p.engine.Rollback(); err != nil {
		return err
	}
	p.before, p.inForce = p.inForce, p.before
	return nil
}

// close ends the policies and the log.
func (p *policies) close() error {
	var errs []error
	if p.engine != nil {
		errs = append(errs, p.engine.Close())
	}
	if p.explained != nil {
		errs = append(errs, p.explained.Close())
	}
	return errors.Join(errs...)
}

// policyLoader takes policies into use as the operator lists them.
type policyLoader struct {
	cacheDirs []string // of compiled modules, the best first
	deadlines policy.Deadlines
	log       *slog.Logger
	// strict makes a policy that cannot be loaded an error; else its place is held by one that fails.
	strict bool
}

// load gives the engine's configuration; the engine closes what is in it. standard are the default
// policies where they are loaded already.
func (l policyLoader) load(ctx context.Context, cfg config.Policy, standard policy.Policy) (c policy.Config, err error) {
	var fresh policy.Config // what is loaded here, and nobody's yet
	defer func() {
		if err != nil {
			c, err = policy.Config{}, errors.Join(err, fresh.Close())
		}
	}()
	c.NoDefaults, c.Deadlines = !cfg.Defaults, l.deadlines
	if cfg.Defaults {
		if standard == nil {
			if standard, err = l.standard(ctx); err != nil {
				return c, err
			}
			fresh.LastResort = standard
		}
		c.Placement.Default, c.Reciprocity.Default, c.Repair.Default = standard, standard, standard
	}
	for _, of := range []struct {
		role   sdk.Role
		listed []config.Plugin
		chain  *policy.Chain
	}{
		{sdk.RolePlacement, cfg.Placement, &c.Placement},
		{sdk.RoleReciprocity, cfg.Reciprocity, &c.Reciprocity},
		{sdk.RoleRepair, cfg.Repair, &c.Repair},
	} {
		for _, listed := range of.listed {
			p, err := l.one(ctx, of.role, listed)
			if err != nil {
				return c, fmt.Errorf("policy.%s: %w", of.role, err)
			}
			fresh.Placement.Deciders = append(fresh.Placement.Deciders, p)
			if listed.Role == config.RoleGuard {
				of.chain.Guards = append(of.chain.Guards, policy.Guard{Policy: p, Closed: listed.OnFailure == config.FailClosed})
				continue
			}
			of.chain.Deciders = append(of.chain.Deciders, p)
		}
	}
	return c, nil
}

// standard is the default policies as the module that every node carries.
func (l policyLoader) standard(ctx context.Context) (policy.Policy, error) {
	module, err := plugins.DefaultModule()
	if err != nil {
		return nil, err
	}
	p, err := l.cached(wasm.Config{Name: plugins.DefaultName, Log: l.log}, func(c wasm.Config) (*wasm.Policy, error) {
		return wasm.Load(ctx, module, c)
	})
	return l.orStandIn(ctx, p, plugins.DefaultName, wasm.Runtime, err)
}

// one loads a policy and checks that it is made for its place.
func (l policyLoader) one(ctx context.Context, role sdk.Role, listed config.Plugin) (policy.Policy, error) {
	var p policy.Policy
	var err error
	runtime := wasm.Runtime
	if program, ok := strings.CutPrefix(listed.Source, config.ExecPrefix); ok {
		runtime = process.Runtime
		p, err = process.Load(ctx, program, process.Config{Name: listed.Name, SHA256: listed.SHA256, Settings: listed.Config, Log: l.log})
	} else {
		c := wasm.Config{Name: listed.Name, SHA256: listed.SHA256, Settings: listed.Config, Log: l.log}
		p, err = l.cached(c, func(c wasm.Config) (*wasm.Policy, error) { return wasm.LoadFile(ctx, listed.Source, c) })
	}
	if err == nil {
		if err = policy.Fits(role, partOf(listed), p); err != nil {
			err = errors.Join(err, policy.Config{LastResort: p}.Close())
		}
	}
	return l.orStandIn(ctx, p, listed.Name, runtime, err)
}

func partOf(listed config.Plugin) policy.Part {
	if listed.Role == config.RoleGuard {
		return policy.PartGuard
	}
	return policy.PartDecider
}

// cached loads a module with the first cache that can be used; where there is none, it is compiled
// for this once.
func (l policyLoader) cached(c wasm.Config, load func(wasm.Config) (*wasm.Policy, error)) (policy.Policy, error) {
	for _, dir := range l.cacheDirs {
		c.CacheDir = dir
		p, err := load(c)
		if !errors.Is(err, wasm.ErrCache) {
			return p, err
		}
		l.log.Warn("compiled policies are not kept there", "dir", dir, "err", err)
	}
	c.CacheDir = ""
	return load(c)
}

// orStandIn is p, or what holds the place of a policy that could not be loaded.
func (l policyLoader) orStandIn(ctx context.Context, p policy.Policy, name, runtime string, err error) (policy.Policy, error) {
	switch {
	case err == nil:
		return p, nil
	case l.strict || ctx.Err() != nil:
		return nil, err
	}
	l.log.Error("a policy could not be loaded, it counts as failed", "policy", name, "runtime", runtime, "err", err)
	return policy.NewUnusable(name, runtime, err), nil
}
