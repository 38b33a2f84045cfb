package policy

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Metrics counts every question put to a policy, and every alarm. Its methods must not block.
type Metrics interface {
	Asked(role sdk.Role, step Step)
	// Alarmed tells what went wrong with a policy, or with the whole chain where policy is "".
	Alarmed(role sdk.Role, policy string, alarm Alarm)
}

// Alarm is something an operator should know of.
type Alarm string

// The alarms.
const (
	AlarmTakenOut   Alarm = "taken out"    // a policy failed again and again and is not asked for a while
	AlarmGuard      Alarm = "guard failed" // and nothing is decided without it
	AlarmLastResort Alarm = "last resort"  // the policy linked into the host was asked
	AlarmNoAnswer   Alarm = "no answer"    // nobody answered
)

type noMetrics struct{}

func (noMetrics) Asked(sdk.Role, Step)            {}
func (noMetrics) Alarmed(sdk.Role, string, Alarm) {}

// Counters is a Metrics that counts in memory: questions by role, policy, runtime and outcome, alarms
// by role, policy and kind. The zero value is ready; it is safe for concurrent use.
type Counters struct {
	mu     sync.Mutex // guards below
	counts map[counterKey]counterValue
	alarms map[AlarmCount]uint64 // by what it counts, Times being 0
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

// AlarmCount is one line of a Counters' alarms.
type AlarmCount struct {
	Role   sdk.Role
	Policy string // "" for the chain as a whole
	Alarm  Alarm
	Times  uint64
}

// Alarmed implements Metrics.
func (c *Counters) Alarmed(role sdk.Role, policy string, alarm Alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alarms == nil {
		c.alarms = map[AlarmCount]uint64{}
	}
	c.alarms[AlarmCount{Role: role, Policy: policy, Alarm: alarm}]++
}

// Alarms gives all alarms that were ever raised, ordered by their labels.
func (c *Counters) Alarms() []AlarmCount {
	c.mu.Lock()
	out := make([]AlarmCount, 0, len(c.alarms))
	for a, times := range c.alarms {
		a.Times = times
		out = append(out, a)
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b AlarmCount) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Alarm, b.Alarm))
	})
	return out
}
