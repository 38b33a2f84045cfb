package quicnet

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/identity"
)

// absent remembers who could not be reached where, so that nobody waits for a dead peer again and again:
// after each failure dials of it fail at once for a while, which doubles. A connection in either
// direction, or another address, is tried at once.
type absent struct {
	first, most time.Duration // first < 0: it remembers nobody

	mu    sync.Mutex // guards below
	peers map[identity.Contact]*absence
}

type absence struct {
	wait  time.Duration
	until time.Time
}

// maxAbsent bounds how many are remembered.
const maxAbsent = 1024

func newAbsent(first, most time.Duration) *absent {
	return &absent{first: first, most: most, peers: map[identity.Contact]*absence{}}
}

// failed notes that a peer could not be reached. The wait has a quarter of jitter, so that peers which
// lost each other at the same moment do not all return at the same.
func (a *absent) failed(who identity.Contact, now time.Time) {
	if a.first < 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[who]
	if p == nil {
		a.makeRoomLocked(now)
		p = &absence{wait: a.first / 2}
		a.peers[who] = p
	}
	p.wait = min(2*p.wait, a.most)
	p.until = now.Add(p.wait - p.wait/8 + rand.N(p.wait/4+1))
}

// makeRoomLocked forgets those whose wait is over, or else anybody.
func (a *absent) makeRoomLocked(now time.Time) {
	if len(a.peers) < maxAbsent {
		return
	}
	for who, p := range a.peers {
		if now.After(p.until) {
			delete(a.peers, who)
		}
	}
	for who := range a.peers {
		if len(a.peers) < maxAbsent {
			return
		}
		delete(a.peers, who)
	}
}

// waits tells whether a peer failed too lately to be dialled there again.
func (a *absent) waits(who identity.Contact, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[who]
	return p != nil && now.Before(p.until)
}

// back forgets that a peer was absent, wherever.
func (a *absent) back(who identity.Contact) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.peers {
		if c.Key == who.Key {
			delete(a.peers, c)
		}
	}
}
