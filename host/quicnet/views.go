package quicnet

import (
	"net/netip"
	"sync"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// views remembers where peers say they see this node. Peers of one public subnet have one voice
// together: whoever owns a network can put many nodes in it.
type views struct {
	mu    sync.Mutex // guards below
	seen  map[sdk.NodeKey]view
	order []sdk.NodeKey // oldest first
}

// view is what one peer says.
type view struct {
	at   netip.AddrPort
	from netip.Prefix // the peer's subnet; invalid where it is not public
}

const maxViews = 32

func (v *views) note(by sdk.NodeKey, from netip.Addr, at netip.AddrPort) {
	if !at.Addr().IsValid() || at.Addr().IsUnspecified() || at.Port() == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = map[sdk.NodeKey]view{}
	}
	if _, known := v.seen[by]; !known {
		v.order = append(v.order, by)
	}
	said := view{at: at}
	if public(from) { // at home every peer has a voice
		said.from = identity.Subnet(from)
	}
	v.seen[by] = said
	if len(v.order) > maxViews {
		delete(v.seen, v.order[0])
		v.order = v.order[1:]
	}
}

// count tells for each address how many voices name it.
func (v *views) count() map[netip.AddrPort]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	counts := map[netip.AddrPort]int{}
	heard := map[view]bool{}
	for _, said := range v.seen {
		if said.from.IsValid() && heard[said] {
			continue
		}
		heard[said] = true
		counts[said.at]++
	}
	return counts
}

// agreed is the address that two voices or more name, and at least two of three; the zero AddrPort where
// there is none.
func (v *views) agreed() netip.AddrPort {
	all := 0
	counts := v.count()
	for _, n := range counts {
		all += n
	}
	if best := v.most(); counts[best] >= 2 && 3*counts[best] >= 2*all {
		return best
	}
	return netip.AddrPort{}
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
