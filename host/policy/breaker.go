package policy

import "time"

// Breaker says when a policy that keeps failing is taken out; zero values mean the defaults.
type Breaker struct {
	Failures int           // in a row, after which a policy is not asked for a while; 5
	Rest     time.Duration // until it is tried again; 1 min
}

func (b Breaker) orDefaults() Breaker {
	if b.Failures <= 0 {
		b.Failures = 5
	}
	b.Rest = orDefault(b.Rest, time.Minute)
	return b
}

// State is that of a policy's breaker.
type State string

// The states.
const (
	Closed   State = "closed"    // asked
	Open     State = "open"      // taken out
	HalfOpen State = "half-open" // taken out, and being tried with one question
	// NotLoaded is the state of an Unusable, whatever its breaker's.
	NotLoaded State = "not loaded"
)

// circuit is the breaker of one post. The zero value is closed.
type circuit struct {
	state    State
	failures int       // in a row
	until    time.Time // while open
}

// ticket is the leave to ask once.
type ticket struct{ probe bool }

// admit tells whether the policy may be asked now. Whoever gets a ticket returns it with done or
// abandon.
func (c *circuit) admit(now time.Time) (t ticket, ok bool) {
	switch c.state {
	case Open:
		if now.Before(c.until) {
			return ticket{}, false
		}
		c.state = HalfOpen
		return ticket{probe: true}, true
	case HalfOpen:
		return ticket{}, false
	}
	return ticket{}, true
}

// done takes a result in and tells whether that took the policy out or brought it back. Answers to
// questions from before it was taken out say nothing any more.
func (c *circuit) done(t ticket, failed bool, now time.Time, b Breaker) (taken, back bool) {
	switch {
	case t.probe && failed:
		c.state, c.until = Open, now.Add(b.Rest)
	case t.probe:
		*c = circuit{}
		return false, true
	case c.current() != Closed:
	case !failed:
		c.failures = 0
	default:
		c.failures++
		if c.failures >= b.Failures {
			c.state, c.until = Open, now.Add(b.Rest)
			return true, false
		}
	}
	return false, false
}

// abandon gives a ticket back without a result: whoever asked went away.
func (c *circuit) abandon(t ticket) {
	if t.probe {
		c.state = Open // until has passed: the next question is the probe
	}
}

func (c *circuit) current() State {
	if c.state == "" {
		return Closed
	}
	return c.state
}
