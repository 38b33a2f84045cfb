package dht

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
)

// ID is a point of the space in which nodes and tesseras lie.
type ID = [32]byte

// bitsOf is the size of the id space, and so the most buckets there can be.
const bitsOf = 256

// sharedBits is how many leading bits two ids have in common.
func sharedBits(a, b ID) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return bitsOf
}

// compareDistance orders a and b by their XOR distance to target, nearest first.
func compareDistance(target, a, b ID) int {
	for i := range target {
		if c := int(a[i]^target[i]) - int(b[i]^target[i]); c != 0 {
			return c
		}
	}
	return 0
}

// placed is a contact and its position, which costs a hash to compute.
type placed struct {
	identity.Contact
	id ID
}

func place(c identity.Contact) placed { return placed{c, ID(c.ID())} }

func sortByDistance(target ID, contacts []placed) {
	slices.SortFunc(contacts, func(a, b placed) int { return compareDistance(target, a.id, b.id) })
}

// withPrefix is an id that shares exactly n leading bits with own, the rest taken from random.
func withPrefix(own, random ID, n int) ID {
	if n >= bitsOf {
		return own
	}
	out := random
	copy(out[:n/8], own[:n/8])
	mask := byte(0xff) << (8 - n%8) // leading bits of the byte in which they part
	i, flip := n/8, byte(0x80)>>(n%8)
	out[i] = own[i]&mask | ^own[i]&flip | random[i]&^(mask|flip)
	return out
}

func less(a, b ID) bool { return bytes.Compare(a[:], b[:]) < 0 }
