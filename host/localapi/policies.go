package localapi

import (
	"context"
	"encoding/json"
	"time"
)

// Policies is who decides on a node. A backend without a running node answers with ErrNoDaemon.
type Policies interface {
	PolicyList(ctx context.Context) (PolicyList, error)
	// PolicyReload reads the configuration again and puts its policies in force. Where one of them
	// cannot be used, that is the error, and nothing has changed.
	PolicyReload(ctx context.Context) (PolicyList, error)
	// PolicyRollback puts the policies in force again that the last reload replaced.
	PolicyRollback(ctx context.Context) (PolicyList, error)
}

// PolicyList is the policies in force.
type PolicyList struct {
	Generation  int64         `json:"generation"` // counts what was put in force since the node started
	Since       Moment        `json:"since"`
	CanRollBack bool          `json:"can_roll_back"`
	Policies    []Policy      `json:"policies"` // by role, in the order they are asked
	Alarms      []PolicyAlarm `json:"alarms"`   // since the node started
}

// The values of Policy.State.
const (
	PolicyInUse     = "in use"
	PolicyTakenOut  = "taken out"   // it failed again and again, and rests
	PolicyTried     = "being tried" // after that
	PolicyNotLoaded = "not loaded"  // its last error says why
)

// Policy is one policy at its place.
type Policy struct {
	Name        string       `json:"name"`
	Kind        string       `json:"kind"`    // "wasm", "process" or "native"
	Role        string       `json:"role"`    // "placement", "reciprocity" or "repair"
	Part        string       `json:"part"`    // "guard", "decider", "default" or "last resort"
	Closed      bool         `json:"closed"`  // a guard without which nothing is decided
	Version     string       `json:"version"` // as it describes itself
	Digest      string       `json:"digest"`  // SHA-256 of its module or program, "" where there is none
	State       string       `json:"state"`
	Calls       int64        `json:"calls"`
	Errors      int64        `json:"errors"` // of the calls
	Missed      int64        `json:"missed"` // questions while it was taken out
	P50         Milliseconds `json:"p50_ms"`
	P99         Milliseconds `json:"p99_ms"` // both of the last few thousand calls
	LastError   string       `json:"last_error"`
	LastErrorAt Moment       `json:"last_error_at"`
}

// PolicyAlarm counts what an operator should know of.
type PolicyAlarm struct {
	Role   string `json:"role"`
	Policy string `json:"policy"` // "" for all of a role together
	Alarm  string `json:"alarm"`
	Times  int64  `json:"times"`
}

// Milliseconds is a duration that JSON has as a number of milliseconds.
type Milliseconds time.Duration

// MarshalJSON implements json.Marshaler.
func (m Milliseconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Duration(m).Microseconds()) / 1000)
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Milliseconds) UnmarshalJSON(b []byte) error {
	var ms float64
	err := json.Unmarshal(b, &ms)
	*m = Milliseconds(ms * float64(time.Millisecond))
	return err
}

// policyControl is the Connect service over a backend.
type policyControl struct{ backend Policies }

var _ PoliciesHandler = (*policyControl)(nil)

// List implements PoliciesHandler.
func (c *policyControl) List(ctx context.Context, _ *PolicyListRequest) (*PolicyListResponse, error) {
	l, err := c.backend.PolicyList(ctx)
	return l.message(), onWire(ctx, err)
}

// Reload implements PoliciesHandler.
func (c *policyControl) Reload(ctx context.Context, _ *PolicyReloadRequest) (*PolicyListResponse, error) {
	l, err := c.backend.PolicyReload(ctx)
	return l.message(), onWire(ctx, err)
}

// Rollback implements PoliciesHandler.
func (c *policyControl) Rollback(ctx context.Context, _ *PolicyRollbackRequest) (*PolicyListResponse, error) {
	l, err := c.backend.PolicyRollback(ctx)
	return l.message(), onWire(ctx, err)
}

// PolicyList tells which policies decide, and how they do.
func (c *Client) PolicyList(ctx context.Context) (PolicyList, error) {
	r, err := c.policies.List(ctx, &PolicyListRequest{})
	return answer(ctx, err, func(d *decoder) PolicyList { return d.policyList(r) })
}

// PolicyReload has the node read its policies again.
func (c *Client) PolicyReload(ctx context.Context) (PolicyList, error) {
	r, err := c.policies.Reload(ctx, &PolicyReloadRequest{})
	return answer(ctx, err, func(d *decoder) PolicyList { return d.policyList(r) })
}

// PolicyRollback has the node go back to the policies before the last reload.
func (c *Client) PolicyRollback(ctx context.Context) (PolicyList, error) {
	r, err := c.policies.Rollback(ctx, &PolicyRollbackRequest{})
	return answer(ctx, err, func(d *decoder) PolicyList { return d.policyList(r) })
}

func (l PolicyList) message() *PolicyListResponse {
	return &PolicyListResponse{
		Generation: l.Generation, Since: l.Since.text(), CanRollBack: l.CanRollBack,
		Policies: mapped(l.Policies, Policy.message), Alarms: mapped(l.Alarms, PolicyAlarm.message),
	}
}

func (p Policy) message() *PolicyListResponse_Policy {
	return &PolicyListResponse_Policy{
		Name: p.Name, Kind: p.Kind, Role: p.Role, Part: p.Part, Closed: p.Closed, Version: p.Version, Digest: p.Digest,
		State: p.State, Calls: p.Calls, Errors: p.Errors, Missed: p.Missed, P50Ns: int64(p.P50), P99Ns: int64(p.P99),
		LastError: p.LastError, LastErrorAt: p.LastErrorAt.text(),
	}
}

func (a PolicyAlarm) message() *PolicyListResponse_Alarm {
	return &PolicyListResponse_Alarm{Role: a.Role, Policy: a.Policy, Alarm: a.Alarm, Times: a.Times}
}

func (d *decoder) policyList(m *PolicyListResponse) PolicyList {
	return PolicyList{
		Generation: m.Generation, Since: d.moment(m.Since), CanRollBack: m.CanRollBack,
		Policies: mapped(m.Policies, d.policy), Alarms: mapped(m.Alarms, policyAlarm),
	}
}

func (d *decoder) policy(m *PolicyListResponse_Policy) Policy {
	return Policy{
		Name: m.Name, Kind: m.Kind, Role: m.Role, Part: m.Part, Closed: m.Closed, Version: m.Version, Digest: m.Digest,
		State: m.State, Calls: m.Calls, Errors: m.Errors, Missed: m.Missed, P50: Milliseconds(m.P50Ns), P99: Milliseconds(m.P99Ns),
		LastError: m.LastError, LastErrorAt: d.moment(m.LastErrorAt),
	}
}

func policyAlarm(m *PolicyListResponse_Alarm) PolicyAlarm {
	return PolicyAlarm{Role: m.Role, Policy: m.Policy, Alarm: m.Alarm, Times: m.Times}
}
