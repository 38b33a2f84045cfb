package quicnet

import (
	"net/netip"
	"time"
)

// sources keeps a pace for each source of handshakes or requests: what comes faster is refused. The limits on
// all of them together hold still.
type sources struct{ *paces[netip.Prefix] }

// homely is by how much a loopback or private address may be faster: many nodes may be behind it, and
// whoever is there runs the machines already.
const homely = 16

func newSources(perSecond float64, most int) *sources {
	return &sources{newPaces[netip.Prefix](perSecond, burstOf(perSecond), most)}
}

// burstOf is how much may come at once of what may come at a pace.
func burstOf(perSecond float64) int { return int(4*perSecond) + 1 }

// allow takes n from what the source of an address may have; false: it has had that.
func (s *sources) allow(addr netip.Addr, n int, now time.Time) bool {
	return s.paces.allow(sourceOf(addr), haste(addr), n, now)
}

// haste is how many times the usual pace an address may have.
func haste(addr netip.Addr) int {
	if public(addr) {
		return 1
	}
	return homely
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
