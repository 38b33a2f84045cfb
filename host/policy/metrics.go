package policy

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Metrics counts every question put to a policy. Asked must not block.
type Metrics interface {
	Asked(role sdk.Role, step Step)
}

type noMetrics struct{}

func (noMetrics) Asked(sdk.Role, Step) {}

// Counters is a Metrics that counts in memory, by role, policy, runtime and outcome. The zero value
// is ready; it is safe for concurrent use.
type Counters struct {
	mu     sync.Mutex // guards below
	counts map[counterKey]counterValue
}

type counterKey struct {
	role            sdk.Role
	policy, runtime string
	outcome         Outcome
}

type counterValue struct {
	calls uint64
	took  time.Duration
}

// Count is one line of a Counters.
type Count struct {
	Role    sdk.Role
	Policy  string
	Runtime string
	Outcome Outcome
	Calls   uint64
	Took    time.Duration // in all
}

// Asked implements Metrics.
func (c *Counters) Asked(role sdk.Role, step Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[counterKey]counterValue{}
	}
	key := counterKey{role, step.Policy, step.Runtime, step.Outcome}
	v := c.counts[key]
	c.counts[key] = counterValue{v.calls + 1, v.took + step.Took}
}

// List gives all counts, ordered by their labels.
func (c *Counters) List() []Count {
	c.mu.Lock()
	out := make([]Count, 0, len(c.counts))
	for k, v := range c.counts {
		out = append(out, Count{k.role, k.policy, k.runtime, k.outcome, v.calls, v.took})
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}
