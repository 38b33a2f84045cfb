// Package native answers: what does a policy say that is linked into the host?
//
// It passes the same bytes as the other runtimes do, so that a policy cannot tell how it is run, and
// nothing is shared with it but bytes.
package native

import (
	"context"
	"fmt"
	"sync"

	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

// Runtime is the name of this runtime in logs and metrics.
const Runtime = "native"

// Policy runs the policies of a set. It is safe for concurrent use.
type Policy struct {
	name    string
	set     plugins.Set
	running sync.WaitGroup
}

// New runs the set under a name.
func New(name string, set plugins.Set) *Policy { return &Policy{name: name, set: set} }

// Name is what the policy is called in configuration, logs and metrics.
func (p *Policy) Name() string { return p.name }

// Runtime is "native".
func (p *Policy) Runtime() string { return Runtime }

// Ask puts a question to the policy of a role. It returns when the context ends, even if the policy
// has not: native code cannot be stopped, only left alone until Close. A panic is an error of the
// policy and goes no further. The request must not change until Close.
func (p *Policy) Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
	type answer struct {
		response []byte
		err      error
	}
	done := make(chan answer, 1)
	p.running.Go(func() {
		defer func() {
			if fault := recover(); fault != nil {
				done <- answer{err: fmt.Errorf("panic: %v", fault)}
			}
		}()
		response, err := sdk.Answer(role, p.policyFor(role), request)
		done <- answer{response, err}
	})
	select {
	case a := <-done:
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// policyFor is the policy of a role, nil if there is none.
func (p *Policy) policyFor(role sdk.Role) any {
	switch role {
	case sdk.RolePlacement:
		return p.set.Placement
	case sdk.RoleReciprocity:
		return p.set.Reciprocity
	case sdk.RoleRepair:
		return p.set.Repair
	}
	return nil
}

// Close waits for policies that were left alone.
func (p *Policy) Close() error {
	p.running.Wait()
	return nil
}
