package quicnet

import (
	"net"
	"net/netip"
	"sync"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// views remembers where peers say they see this node. Peers of one public subnet have one voice
// together: whoever owns a network can put many nodes in it.
type views struct {
	owns func(netip.Addr) bool // tells whether an address is one of this computer's

	mu    sync.Mutex // guards below
	seen  map[sdk.NodeKey]view
	order []sdk.NodeKey // oldest first
}

// view is what one peer says.
type view struct {
	at   netip.AddrPort
	from netip.Prefix // the peer's subnet; invalid where it is not public
	own  bool         // at is an address of this computer: nobody can invent that
}

const maxViews = 32

// note hears one peer; false: it says what cannot be. One that is seen on a public address cannot see this
// node at a private one.
func (v *views) note(by sdk.NodeKey, from netip.Addr, at netip.AddrPort) bool {
	if !at.Addr().IsValid() {
		return true // it says nothing
	}
	if at.Addr().IsUnspecified() || at.Port() == 0 || public(from) && !public(at.Addr()) {
		return false
	}
	said := view{at: at, own: v.owns != nil && v.owns(at.Addr())}
	if public(from) { // at home every peer has a voice
		said.from = identity.Subnet(from)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = map[sdk.NodeKey]view{}
	}
	if _, known := v.seen[by]; !known {
		v.order = append(v.order, by)
	}
	v.seen[by] = said
	if len(v.order) > maxViews {
		delete(v.seen, v.order[0])
		v.order = v.order[1:]
	}
	return true
}

// count tells for each address how many voices name it.
func (v *views) count() tally { return v.tally(func(view) bool { return true }) }

// tally counts the voices of some views.
func (v *views) tally(counted func(view) bool) tally {
	v.mu.Lock()
	defer v.mu.Unlock()
	counts := tally{}
	heard := map[view]bool{}
	for _, said := range v.seen {
		if !counted(said) || said.from.IsValid() && heard[said] {
			continue
		}
		heard[said] = true
		counts[said.at]++
	}
	return counts
}

// agreed is the address that two voices or more name, and at least two of three; the zero AddrPort where
// there is none. Where peers out on the internet agree, those at home are not asked: they see another one.
func (v *views) agreed() netip.AddrPort {
	if at := v.tally(func(said view) bool { return said.from.IsValid() }).agreed(); at.IsValid() {
		return at
	}
	return v.count().agreed()
}

// believed is the address to tell others: the agreed one; else one of this computer's own that somebody names;
// else what a single peer at home says. The zero AddrPort: a stranger's word is all there is, or they differ.
func (v *views) believed() netip.AddrPort {
	if at := v.agreed(); at.IsValid() {
		return at
	}
	if at := v.tally(func(said view) bool { return said.own }).most(); at.IsValid() {
		return at
	}
	if all, home := v.count(), v.tally(func(said view) bool { return !said.from.IsValid() }); all.voices() == 1 {
		return home.most()
	}
	return netip.AddrPort{}
}

// tally is how many voices name each address.
type tally map[netip.AddrPort]int

func (t tally) voices() (n int) {
	for _, voices := range t {
		n += voices
	}
	return n
}

func (t tally) agreed() netip.AddrPort {
	if best := t.most(); t[best] >= 2 && 3*t[best] >= 2*t.voices() {
		return best
	}
	return netip.AddrPort{}
}

// most is the address with the most voices; among equals a public one first, then the smallest.
func (t tally) most() netip.AddrPort {
	var best netip.AddrPort
	most := 0
	for at, n := range t {
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

// onThisComputer tells whether an interface has an address.
func onThisComputer(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip.WithZone("") {
			return true
		}
	}
	return false
}
