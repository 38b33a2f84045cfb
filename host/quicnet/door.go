package quicnet

import (
	"context"
	"sync"
)

// door is where strangers wait between their TLS handshake and their Hello. Honest ones pass in one
// round trip; when there are too many, the one that has waited longest has to leave.
type door struct {
	places int

	mu      sync.Mutex  // guards below
	waiting []*stranger // longest first
}

type stranger struct{ turnAway context.CancelCauseFunc }

// enter takes a place for a stranger, who is turned away by cancelling what it waits in.
func (d *door) enter(turnAway context.CancelCauseFunc) *stranger {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) >= d.places {
		d.waiting[0].turnAway(errCrowded)
		d.waiting = d.waiting[1:]
	}
	s := &stranger{turnAway}
	d.waiting = append(d.waiting, s)
	return s
}

// leave gives the place back, if it is still the stranger's.
func (d *door) leave(s *stranger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, w := range d.waiting {
		if w == s {
			d.waiting = append(d.waiting[:i:i], d.waiting[i+1:]...)
			return
		}
	}
}
