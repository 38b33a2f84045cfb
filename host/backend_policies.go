package host

import (
	"context"
	"errors"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
)

// PolicyList implements localapi.Policies.
func (n *Node) PolicyList(context.Context) (localapi.PolicyList, error) {
	s := n.engine.Status()
	l := localapi.PolicyList{Generation: int64(s.Generation), Since: localapi.Moment{Time: s.Since}, CanRollBack: s.CanRollBack}
	for _, p := range s.Policies {
		l.Policies = append(l.Policies, localapi.Policy{
			Name: p.Name, Kind: p.Runtime, Role: string(p.Role), Part: string(p.Part), Closed: p.Closed,
			Version: p.Version, Digest: p.Digest, State: stateInWords(p.State),
			Calls: int64(p.Calls), Errors: int64(p.Errors), Missed: int64(p.Missed),
			P50: localapi.Milliseconds(p.P50), P99: localapi.Milliseconds(p.P99),
			LastError: p.LastError, LastErrorAt: localapi.Moment{Time: p.LastErrorAt},
		})
	}
	for _, a := range n.decisions.Alarms() {
		l.Alarms = append(l.Alarms, localapi.PolicyAlarm{Role: string(a.Role), Policy: a.Policy, Alarm: string(a.Alarm), Times: int64(a.Times)})
	}
	return l, nil
}

func stateInWords(s policy.State) string {
	switch s {
	case policy.Open:
		return localapi.PolicyTakenOut
	case policy.HalfOpen:
		return localapi.PolicyTried
	case policy.NotLoaded:
		return localapi.PolicyNotLoaded
	case policy.Closed:
	}
	return localapi.PolicyInUse
}

// errNoSource tells that the node was given a configuration that stands nowhere.
var errNoSource = errors.New("reload policies: this node's configuration was not read from anywhere")

// PolicyReload implements localapi.Policies.
func (n *Node) PolicyReload(ctx context.Context) (localapi.PolicyList, error) {
	if n.again == nil {
		return localapi.PolicyList{}, errNoSource
	}
	const unchanged = "nothing has changed: the policies in force stay"
	cfg, err := n.again()
	if err != nil {
		return localapi.PolicyList{}, localapi.Fail(localapi.CodeUsage, unchanged, err)
	}
	if err := n.ReloadPolicies(ctx, cfg.Policy); err != nil {
		return localapi.PolicyList{}, localapi.Fail(localapi.CodeFailed, unchanged, err)
	}
	return n.PolicyList(ctx)
}

// PolicyRollback implements localapi.Policies.
func (n *Node) PolicyRollback(ctx context.Context) (localapi.PolicyList, error) {
	err := n.RollbackPolicies()
	if errors.Is(err, policy.ErrNoPrevious) {
		err = localapi.Fail(localapi.CodeFailed, "there is something to go back to after tes policy reload", err)
	}
	if err != nil {
		return localapi.PolicyList{}, err
	}
	return n.PolicyList(ctx)
}
