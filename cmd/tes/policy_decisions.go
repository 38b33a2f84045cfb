package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/plugins"
)

// recorded are decisions and what became of them, by their ids.
type recorded struct {
	decisions []policy.Decision // oldest first
	moves     map[string][]policy.Move
}

// recall reads decisions from the node, or from the data directory where none runs. Those about one
// thing come all at once.
func (a *app) recall(ctx context.Context, about string) (r recorded, err error) {
	r.moves = map[string][]policy.Move{}
	err = a.eachRecord(ctx, localapi.DecisionQuery{About: about}, func(record decisions.Record) bool {
		if m := record.Move; m != nil {
			r.moves[m.Decision] = append(r.moves[m.Decision], *m)
		} else {
			r.decisions = append(r.decisions, *record.Decision)
		}
		return true
	})
	slices.SortStableFunc(r.decisions, func(a, b policy.Decision) int { return a.Time.Compare(b.Time) })
	return r, err
}

// eachRecord hands over records as they arrive, until take says that it is enough.
func (a *app) eachRecord(ctx context.Context, q localapi.DecisionQuery, take func(decisions.Record) bool) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	body, err := client.Decisions(ctx, q)
	if err != nil {
		return err
	}
	defer body.Close()
	for record, err := range decisions.Import(body) {
		if err != nil {
			return err
		}
		if !take(record) {
			break
		}
	}
	return nil
}

// theOne is a decision that was named.
func (a *app) theOne(ctx context.Context, id string) (policy.Decision, error) {
	r, err := a.recall(ctx, id)
	if err != nil {
		return policy.Decision{}, err
	}
	if len(r.decisions) != 1 {
		return policy.Decision{}, localapi.Fail(localapi.CodeUsage, "tes policy explain "+id+" lists their ids", fmt.Errorf("%s stands for %s", id, count(len(r.decisions), "decision")))
	}
	return r.decisions[0], nil
}

// since reads all decisions from a time on, as decisions.Diff takes them; err holds what ended it.
func (a *app) since(ctx context.Context, from time.Time, err *error) iter.Seq2[policy.Decision, error] {
	return func(yield func(policy.Decision, error) bool) {
		*err = a.eachRecord(ctx, localapi.DecisionQuery{Since: from}, func(r decisions.Record) bool {
			return r.Decision == nil || yield(*r.Decision, nil)
		})
	}
}

// errUnknownPolicy tells that a policy is not configured here any more.
var errUnknownPolicy = errors.New("no such policy is configured here")

// asThen takes the policy of a step into use once more: the defaults that this program carries, or what
// the configuration has under its name.
func (a *app) asThen(ctx context.Context, d policy.Decision, s policy.Step) (p policy.Policy, done func(), err error) {
	if s.Policy == plugins.DefaultName && s.Part != policy.PartGuard {
		p, err = standard(ctx, s.Runtime, a.log())
	} else {
		p, err = a.configured(ctx, d, s)
	}
	if err != nil {
		return nil, nil, err
	}
	return p, func() { _ = policy.Config{LastResort: p}.Close() }, nil // it was only asked
}

// standard is the default policies as a runtime has them.
func standard(ctx context.Context, runtime string, log *slog.Logger) (policy.Policy, error) {
	if runtime == native.Runtime {
		return native.New(plugins.DefaultName, plugins.Default()), nil
	}
	module, err := plugins.DefaultModule()
	if err != nil {
		return nil, err
	}
	cache, _ := wasm.DefaultCacheDir() // a user without one compiles each time anew
	return wasm.Load(ctx, module, wasm.Config{Name: plugins.DefaultName, CacheDir: cache, Log: log})
}

func (a *app) configured(ctx context.Context, d policy.Decision, s policy.Step) (policy.Policy, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	lists := map[string][]config.Plugin{"placement": cfg.Policy.Placement, "reciprocity": cfg.Policy.Reciprocity, "repair": cfg.Policy.Repair}
	for _, listed := range lists[string(d.Role)] {
		if listed.Name == s.Policy {
			return loadPolicy(ctx, listed.Source, listed.Name, listed.Config, a.log())
		}
	}
	return nil, localapi.Fail(localapi.CodeUsage, "name its file with --policy FILE", fmt.Errorf("%s: %w", s.Policy, errUnknownPolicy))
}
