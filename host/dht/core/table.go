package core

import (
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// table is Kademlia's routing table: bucket i holds contacts whose ids share exactly i leading bits
// with our own, the least recently heard first.
type table struct {
	own     ID
	size    int // contacts per bucket
	caps    caps
	buckets [bitsOf][]Node
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
func (t *table) heard(p Node) (ping Node, full bool) {
	if p.At == t.own {
		return Node{}, false
	}
	i := sharedBits(t.own, p.At)
	if old, known := t.at[p.Key]; known {
		t.remove(p.Key)
		if old == i && t.fits(i, p.Contact) {
			t.insert(i, p) // at the end: the most recently heard
			return Node{}, false
		}
	}
	switch {
	case !t.fits(i, p.Contact):
		return Node{}, false
	case len(t.buckets[i]) < t.size:
		t.insert(i, p)
		return Node{}, false
	}
	return t.buckets[i][0], true
}

// touch notes that a contact answered where it is.
func (t *table) touch(key sdk.NodeKey) {
	i, known := t.at[key]
	if !known {
		return
	}
	b := t.buckets[i]
	j := slices.IndexFunc(b, func(p Node) bool { return p.Key == key })
	p := b[j]
	copy(b[j:], b[j+1:])
	b[len(b)-1] = p
}

// replace gives the place of a contact that did not answer to another of the same bucket.
func (t *table) replace(silent sdk.NodeKey, p Node) {
	i, known := t.at[silent]
	if !known || p.At == t.own || sharedBits(t.own, p.At) != i {
		return
	}
	if _, there := t.at[p.Key]; there {
		return
	}
	t.remove(silent)
	if t.fits(i, p.Contact) {
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
	j := slices.IndexFunc(t.buckets[i], func(p Node) bool { return p.Key == key })
	if net := identity.Subnet(t.buckets[i][j].Addr.Addr()); t.subnets[net] > 1 {
		t.subnets[net]--
	} else {
		delete(t.subnets, net)
	}
	t.buckets[i] = slices.Delete(t.buckets[i], j, j+1)
}

// closest lists the n contacts nearest to target that pass the filter, nearest first. Of the buckets,
// the one that target would be in holds the nearest contacts; those beyond it share as many bits with
// target as we do, and each bucket before it a bit less.
func (t *table) closest(target ID, n int, want func(Node) bool) []Node {
	out := make([]Node, 0, n)
	var some [bitsOf]*Node // saves an allocation for tables of the usual size
	take := func(buckets ...[]Node) {
		all := some[:0]
		for _, b := range buckets {
			for i := range b {
				all = append(all, &b[i])
			}
		}
		slices.SortFunc(all, func(a, b *Node) int { return compareDistance(target, a.At, b.At) })
		for _, p := range all {
			if len(out) == n {
				return
			}
			if want == nil || want(*p) {
				out = append(out, *p)
			}
		}
	}
	i := min(sharedBits(t.own, target), bitsOf-1) // nobody has our own id
	take(t.buckets[i])
	if len(out) < n {
		take(t.buckets[i+1:]...)
	}
	for i--; i >= 0 && len(out) < n; i-- {
		take(t.buckets[i])
	}
	return out
}

// full tells whether a bucket has no room.
func (t *table) full(i int) bool { return len(t.buckets[i]) >= t.size }

// beside counts the contacts of the bucket that a node has its place in.
func (t *table) beside(at ID) int { return len(t.buckets[min(sharedBits(t.own, at), bitsOf-1)]) }

func (t *table) has(key sdk.NodeKey) bool { _, ok := t.at[key]; return ok }

func (t *table) insert(i int, p Node) {
	t.buckets[i] = append(t.buckets[i], p)
	t.at[p.Key] = i
	t.subnets[identity.Subnet(p.Addr.Addr())]++
}

// fits tells whether the caps leave room for a contact in a bucket.
func (t *table) fits(i int, c identity.Contact) bool {
	net := counted(c.Addr.Addr())
	if !net.IsValid() {
		return true
	}
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

// counted is the subnet that an address counts in where those of one are bounded. The zero Prefix: it is not
// public, and counts in none.
func counted(ip netip.Addr) netip.Prefix {
	if !public(ip) {
		return netip.Prefix{}
	}
	return identity.Subnet(ip)
}

func public(ip netip.Addr) bool { return ip.IsGlobalUnicast() && !ip.IsPrivate() }
