package sweep

import (
	"crypto/rand"
	"time"
)

// SystemClock is that of this machine. Its steady time is, where the system tells it, that since the
// machine was started, else that since the clock was made.
type SystemClock struct {
	run  string
	made time.Time
}

var _ Clock = (*SystemClock)(nil)

// NewSystemClock returns one.
func NewSystemClock() *SystemClock { return &SystemClock{run: rand.Text(), made: time.Now()} }

// Now implements Clock.
func (*SystemClock) Now() time.Time { return time.Now() }

// Steady implements Clock.
func (c *SystemClock) Steady() (boot string, up time.Duration) {
	if boot, up, ok := steady(); ok {
		return boot, up
	}
	return c.run, time.Since(c.made)
}
