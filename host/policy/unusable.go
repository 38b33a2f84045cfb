package policy

import (
	"context"

	"github.com/tesseras/tesseras/sdk"
)

// Unusable stands in a chain for a configured policy that could not be loaded: it fails every
// question with the reason, so that its failure is handled, counted and shown like any other.
type Unusable struct {
	name, runtime string
	reason        error
}

var _ Policy = (*Unusable)(nil)

// NewUnusable gives a missing policy its name, the runtime it would have had, and the reason.
func NewUnusable(name, runtime string, reason error) *Unusable {
	return &Unusable{name, runtime, reason}
}

// Reason is why there is nothing to ask.
func (u *Unusable) Reason() error { return u.reason }

// Name implements Policy.
func (u *Unusable) Name() string { return u.name }

// Runtime implements Policy.
func (u *Unusable) Runtime() string { return u.runtime }

// Ask fails.
func (u *Unusable) Ask(context.Context, sdk.Role, []byte) ([]byte, error) { return nil, u.reason }
