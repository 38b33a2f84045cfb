package quicnet

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sources keeps a pace for each source of handshakes or requests: what comes faster is refused. It
// remembers the sources heard of last, at most so many; one that is forgotten begins anew, and the
// limits on all of them together hold still.
type sources struct {
	pace  rate.Limit
	burst int
	most  int

	mu    sync.Mutex // guards below
	at    map[netip.Prefix]*list.Element
	order *list.List // of *source, the one heard of last in front
}

type source struct {
	net     netip.Prefix
	limiter *rate.Limiter
}

// homely is by how much a loopback or private address may be faster: many nodes may be behind it, and
// whoever is there runs the machines already.
const homely = 16

func newSources(perSecond float64, most int) *sources {
	return &sources{
		pace: rate.Limit(perSecond), burst: int(4*perSecond) + 1, most: most,
		at: map[netip.Prefix]*list.Element{}, order: list.New(),
	}
}

// allow takes n from what the source of an address may have; false: it has had that.
func (s *sources) allow(addr netip.Addr, n int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limiter(addr).AllowN(now, n)
}

func (s *sources) limiter(addr netip.Addr) *rate.Limiter {
	net := sourceOf(addr)
	if e := s.at[net]; e != nil {
		s.order.MoveToFront(e)
		return e.Value.(*source).limiter
	}
	if len(s.at) >= s.most {
		oldest := s.order.Back()
		delete(s.at, oldest.Value.(*source).net)
		s.order.Remove(oldest)
	}
	pace, burst := s.pace, s.burst
	if !public(addr) {
		pace, burst = pace*homely, burst*homely
	}
	src := &source{net, rate.NewLimiter(pace, burst)}
	s.at[net] = s.order.PushFront(src)
	return src.limiter
}

// sourceOf is what one party has for itself: an IPv4 address, or the /56 of an IPv6 address.
func sourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if !addr.Is4() {
		bits = 56
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
