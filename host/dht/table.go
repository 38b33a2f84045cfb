package dht

import (
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// table is Kademlia's routing table: bucket i holds contacts whose ids share exactly i leading bits
// with our own, the least recently heard first. It is plain state: no clock, no lock, no network.
type table struct {
	own     ID
	size    int // contacts per bucket
	caps    caps
	buckets [bitsOf][]placed
	at      map[sdk.NodeKey]int // which bucket a key is in
	subnets map[netip.Prefix]int
}

// caps bound how many contacts one public subnet may have; 0 = no bound. Loopback and private
// addresses are not counted: whoever is there runs the machines already.
type caps struct{ bucket, table int }

func newTable(own ID, size int, c caps) *table {
	return &table{own: own, size: size, caps: c, at: map[sdk.NodeKey]int{}, subnets: map[netip.Prefix]int{}}
}

// heard notes that a verified contact is alive. A new one is added where there is room. Where its
// bucket is full, the contact that was silent for the longest is returned: if it does not answer a
// ping, replace puts the new one in its place; if it does, it stays and the new one is forgotten.
func (t *table) heard(c identity.Contact) (ping identity.Contact, full bool) {
	p := place(c)
	if p.id == t.own {
		return identity.Contact{}, false
	}
	i := sharedBits(t.own, p.id)
	if old, known := t.at[c.Key]; known {
		t.remove(c.Key)
		if old == i && t.fits(i, c) {
			t.insert(i, p) // at the end: the most recently heard
			return identity.Contact{}, false
		}
	}
	switch {
	case !t.fits(i, c):
		return identity.Contact{}, false
	case len(t.buckets[i]) < t.size:
		t.insert(i, p)
		return identity.Contact{}, false
	}
	return t.buckets[i][0].Contact, true
}

// replace gives the place of a contact that did not answer to another of the same bucket.
func (t *table) replace(silent sdk.NodeKey, c identity.Contact) {
	i, known := t.at[silent]
	p := place(c)
	if !known || p.id == t.own || sharedBits(t.own, p.id) != i {
		return
	}
	if _, there := t.at[c.Key]; there {
		return
	}
	t.remove(silent)
	if t.fits(i, c) {
		t.insert(i, p)
	}
}

// remove forgets a contact.
func (t *table) remove(key sdk.NodeKey) {
	i, known := t.at[key]
	if !known {
		return
	}
	delete(t.at, key)
	j := slices.IndexFunc(t.buckets[i], func(p placed) bool { return p.Key == key })
	if net := identity.Subnet(t.buckets[i][j].Addr.Addr()); t.subnets[net] > 1 {
		t.subnets[net]--
	} else {
		delete(t.subnets, net)
	}
	t.buckets[i] = slices.Delete(t.buckets[i], j, j+1)
}

// closest lists the n contacts nearest to target that pass the filter.
func (t *table) closest(target ID, n int, want func(identity.Contact) bool) []identity.Contact {
	all := make([]placed, 0, len(t.at))
	for i := range t.buckets {
		for _, p := range t.buckets[i] {
			if want == nil || want(p.Contact) {
				all = append(all, p)
			}
		}
	}
	sortByDistance(target, all)
	out := make([]identity.Contact, 0, n)
	for _, p := range all[:min(n, len(all))] {
		out = append(out, p.Contact)
	}
	return out
}

// full tells whether a bucket has no room.
func (t *table) full(i int) bool { return len(t.buckets[i]) >= t.size }

func (t *table) has(key sdk.NodeKey) bool { _, ok := t.at[key]; return ok }

func (t *table) insert(i int, p placed) {
	t.buckets[i] = append(t.buckets[i], p)
	t.at[p.Key] = i
	t.subnets[identity.Subnet(p.Addr.Addr())]++
}

// fits tells whether the caps leave room for a contact in a bucket.
func (t *table) fits(i int, c identity.Contact) bool {
	if !public(c.Addr.Addr()) {
		return true
	}
	net := identity.Subnet(c.Addr.Addr())
	if t.caps.table > 0 && t.subnets[net] >= t.caps.table {
		return false
	}
	if t.caps.bucket == 0 {
		return true
	}
	same := 0
	for _, p := range t.buckets[i] {
		if net.Contains(p.Addr.Addr().Unmap()) {
			same++
		}
	}
	return same < t.caps.bucket
}

func public(ip netip.Addr) bool { return ip.IsGlobalUnicast() && !ip.IsPrivate() }
