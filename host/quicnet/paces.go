package quicnet

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// paces keeps a pace for each of many. It remembers those heard of last, at most so many; one that is
// forgotten begins anew.
type paces[K comparable] struct {
	pace  rate.Limit
	burst int
	most  int

	mu    sync.Mutex // guards below
	at    map[K]*list.Element
	order *list.List // of *paced[K], the one heard of last in front
}

type paced[K comparable] struct {
	who     K
	limiter *rate.Limiter
}

func newPaces[K comparable](perSecond float64, burst, most int) *paces[K] {
	return &paces[K]{pace: rate.Limit(perSecond), burst: burst, most: most, at: map[K]*list.Element{}, order: list.New()}
}

// allow takes n from what somebody may have, whose pace is so many times the usual; false: it has had that.
func (p *paces[K]) allow(who K, times, n int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limiterLocked(who, times).AllowN(now, n)
}

func (p *paces[K]) limiterLocked(who K, times int) *rate.Limiter {
	if e := p.at[who]; e != nil {
		p.order.MoveToFront(e)
		return e.Value.(*paced[K]).limiter
	}
	if len(p.at) >= p.most {
		oldest := p.order.Back()
		delete(p.at, oldest.Value.(*paced[K]).who)
		p.order.Remove(oldest)
	}
	fresh := &paced[K]{who, rate.NewLimiter(p.pace*rate.Limit(times), p.burst*times)}
	p.at[who] = p.order.PushFront(fresh)
	return fresh.limiter
}
