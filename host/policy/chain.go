package policy

import (
	"errors"
	"io"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Part is what a policy does in a chain.
type Part string

// The parts, in the order they are asked.
const (
	PartGuard      Part = "guard"
	PartDecider    Part = "decider"
	PartDefault    Part = "default"
	PartLastResort Part = "last resort"
)

// roles in the order they are listed.
func roles() []sdk.Role {
	return []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair}
}

// line is the chain of one role as it is in force. It does not change.
type line struct {
	guards   []guard
	deciders []*post // the default last
	resort   *post   // nil without defaults
	deadline time.Duration
}

// guard is one at its post.
type guard struct {
	*post
	closed bool
}

// posts lists everybody in the order they are asked.
func (l *line) posts() []*post {
	out := make([]*post, 0, len(l.guards)+len(l.deciders)+1)
	for _, g := range l.guards {
		out = append(out, g.post)
	}
	out = append(out, l.deciders...)
	if l.resort != nil {
		out = append(out, l.resort)
	}
	return out
}

// newLine puts policies to their posts. at finds the post a policy has had so far, or makes one.
func (c Config) newLine(role sdk.Role, linked Policy, at func(sdk.Role, Part, Policy) *post) *line {
	chain := c.chain(role)
	l := &line{deadline: c.Deadlines.Of(role)}
	for _, g := range chain.Guards {
		l.guards = append(l.guards, guard{at(role, PartGuard, g.Policy), g.Closed})
	}
	for _, p := range chain.Deciders {
		l.deciders = append(l.deciders, at(role, PartDecider, p))
	}
	if c.NoDefaults {
		return l
	}
	if p := either(chain.Default, linked); p != nil {
		l.deciders = append(l.deciders, at(role, PartDefault, p))
	}
	if p := either(c.LastResort, linked); p != nil {
		l.resort = at(role, PartLastResort, p)
	}
	return l
}

func either(p, otherwise Policy) Policy {
	if p != nil {
		return p
	}
	return otherwise
}

// Close closes every policy of a configuration that no engine has taken over.
func (c Config) Close() error {
	seen := map[Policy]bool{nil: true}
	var errs []error
	closeOnce := func(p Policy) {
		if closer, ok := p.(io.Closer); ok && !seen[p] {
			errs = append(errs, closer.Close())
		}
		seen[p] = true
	}
	for _, role := range roles() {
		chain := c.chain(role)
		for _, g := range chain.Guards {
			closeOnce(g.Policy)
		}
		for _, p := range chain.Deciders {
			closeOnce(p)
		}
		closeOnce(chain.Default)
	}
	closeOnce(c.LastResort)
	return errors.Join(errs...)
}

func (c Config) chain(role sdk.Role) Chain {
	switch role {
	case sdk.RoleReciprocity:
		return c.Reciprocity
	case sdk.RoleRepair:
		return c.Repair
	}
	return c.Placement
}

// Of is the deadline of a role, the default where none is set.
func (d Deadlines) Of(role sdk.Role) time.Duration {
	switch role {
	case sdk.RoleReciprocity:
		return orDefault(d.Admit, 100*time.Millisecond)
	case sdk.RoleRepair:
		return orDefault(d.Repair, 2*time.Second)
	}
	return orDefault(d.Place, time.Second)
}

func orDefault(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}
