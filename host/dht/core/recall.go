package core

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// reliable is the share of questions, in parts per million, that a peer has answered that can be relied on.
const reliable = 500_000

// Recall takes in what is remembered from before, as far as there is room, without believing that any of
// it is still there, and lists whom to dial, at most n. These come half from those known for the longest,
// whom nobody could make up in a hurry, and else from those heard of last, who are the likeliest to be
// there; of one public subnet there are as many as in a lookup.
func (c *Core) Recall(peers []Known, n int) []identity.Contact {
	chosen := choice{perSubnet: c.config.PerLookup, taken: map[sdk.NodeKey]bool{}, subnets: map[netip.Prefix]int{}}
	chosen.take(n/2, slices.SortedFunc(slices.Values(peers), byAge))
	chosen.take(n-len(chosen.list), slices.SortedFunc(slices.Values(peers), byNews))
	for _, k := range slices.Concat(chosen.list, peers) {
		if len(c.book.peers) >= c.config.MaxPeers {
			break
		}
		if _, known := c.book.peers[k.Contact.Key]; !known {
			k.at, k.Silent = ID(k.ID()), 0
			c.book.peers[k.Contact.Key] = &k
		}
	}
	contacts := make([]identity.Contact, len(chosen.list))
	for i, k := range chosen.list {
		contacts[i] = k.Contact
	}
	return contacts
}

// byAge orders records: those known for the longest first, but after all others those that were silent
// lately, and last those that never answered much.
func byAge(a, b Known) int {
	return cmp.Or(
		second(a.UptimePPM() < reliable, b.UptimePPM() < reliable), second(a.Silent > 0, b.Silent > 0),
		a.FirstSeen.Compare(b.FirstSeen), byKey(a, b),
	)
}

// byNews orders records, those heard of last first.
func byNews(a, b Known) int {
	return cmp.Or(b.LastSeen.Compare(a.LastSeen), a.FirstSeen.Compare(b.FirstSeen), byKey(a, b))
}

func byKey(a, b Known) int { return bytes.Compare(a.Contact.Key[:], b.Contact.Key[:]) }

// second orders whoever a flag is set for after others.
func second(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// choice is a choice of peers under way.
type choice struct {
	list      []Known
	taken     map[sdk.NodeKey]bool
	perSubnet int
	subnets   map[netip.Prefix]int
}

// take adds the first n of peers that are not taken yet and whose public subnet has room.
func (c *choice) take(n int, peers []Known) {
	for _, k := range peers {
		if n <= 0 {
			break
		}
		if c.taken[k.Contact.Key] || !c.admit(k.Contact.Addr.Addr()) {
			continue
		}
		c.taken[k.Contact.Key] = true
		c.list = append(c.list, k)
		n--
	}
}

// admit tells whether the public subnet of an address has room, and takes it.
func (c *choice) admit(addr netip.Addr) bool {
	net := counted(addr)
	if c.perSubnet == 0 || !net.IsValid() {
		return true
	}
	c.subnets[net]++
	return c.subnets[net] <= c.perSubnet
}
