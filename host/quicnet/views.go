package quicnet

import (
	"net/netip"
	"sync"

	"github.com/tesseras/tesseras/sdk"
)

// views remembers where peers say they see this node. One peer has one voice.
type views struct {
	mu    sync.Mutex // guards below
	seen  map[sdk.NodeKey]netip.AddrPort
	order []sdk.NodeKey // oldest first
}

const maxViews = 32

func (v *views) note(by sdk.NodeKey, at netip.AddrPort) {
	if !at.Addr().IsValid() || at.Addr().IsUnspecified() || at.Port() == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = map[sdk.NodeKey]netip.AddrPort{}
	}
	if _, known := v.seen[by]; !known {
		v.order = append(v.order, by)
	}
	v.seen[by] = at
	if len(v.order) > maxViews {
		delete(v.seen, v.order[0])
		v.order = v.order[1:]
	}
}

func (v *views) count() map[netip.AddrPort]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	counts := map[netip.AddrPort]int{}
	for _, at := range v.seen {
		counts[at]++
	}
	return counts
}

// most is the address with the most voices; among equals a public one first, then the smallest.
func (v *views) most() netip.AddrPort {
	var best netip.AddrPort
	most := 0
	for at, n := range v.count() {
		switch {
		case n < most:
		case n > most,
			public(at.Addr()) && !public(best.Addr()),
			public(at.Addr()) == public(best.Addr()) && at.Compare(best) < 0:
			best, most = at, n
		}
	}
	return best
}
