package host

import (
	"context"
	"log/slog"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// Defaults are the default policies for several nodes of one process, which then need not load them
// one by one.
type Defaults struct{ policy *wasm.Policy }

// sharedAtOnce is how many questions the nodes that share the default policies may have at once.
const sharedAtOnce = 16

// LoadDefaults loads the default policies. Close them after the nodes.
func LoadDefaults(ctx context.Context, log *slog.Logger) (*Defaults, error) {
	module, err := plugins.DefaultModule()
	if err != nil {
		return nil, err
	}
	dir, err := wasm.DefaultCacheDir()
	if err != nil {
		dir = "" // compiled for this process alone
	}
	p, err := wasm.Load(ctx, module, wasm.Config{
		Name: plugins.DefaultName, CacheDir: dir, Limits: wasm.Limits{Concurrent: sharedAtOnce}, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &Defaults{p}, nil
}

// WithDefaults has a node ask default policies that it shares with others.
func WithDefaults(d *Defaults) Option { return func(n *Node) { n.lent = d } }

// Close ends the policies. No node may use them any more.
func (d *Defaults) Close() error { return d.policy.Close() }

// lend gives the policies to one node, which does not close them.
func (d *Defaults) lend() policy.Policy {
	if d == nil {
		return nil
	}
	return &lentPolicy{d.policy}
}

// lentPolicy is a policy without its Close.
type lentPolicy struct{ of *wasm.Policy }

var (
	_ policy.Digester  = (*lentPolicy)(nil)
	_ policy.Describer = (*lentPolicy)(nil)
)

func (l *lentPolicy) Name() string                  { return l.of.Name() }
func (l *lentPolicy) Runtime() string               { return l.of.Runtime() }
func (l *lentPolicy) Digest() string                { return l.of.Digest() }
func (l *lentPolicy) Description() *sdk.Description { return l.of.Description() }

func (l *lentPolicy) Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
	return l.of.Ask(ctx, role, request)
}
