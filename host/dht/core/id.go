package core

import (
	"bytes"
	"encoding/binary"
	"math"
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

// gap is the XOR distance of two ids as a share of the id space.
func gap(a, b ID) float64 {
	high := binary.BigEndian.Uint64(a[:8]) ^ binary.BigEndian.Uint64(b[:8])
	low := binary.BigEndian.Uint64(a[8:16]) ^ binary.BigEndian.Uint64(b[8:16])
	return math.Ldexp(float64(high), -64) + math.Ldexp(float64(low), -128) // beyond lies less than a float64 can tell
}

// Node is a contact and its position, which costs a hash to compute.
type Node struct {
	identity.Contact
	At ID
}

// Place gives a contact its position.
func Place(c identity.Contact) Node { return Node{c, ID(c.ID())} }

func sortByDistance(target ID, nodes []Node) {
	slices.SortFunc(nodes, func(a, b Node) int { return compareDistance(target, a.At, b.At) })
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

// without clears the n leading bits of an id. Node ids begin with the zero bits of their proof of work
// and tessera ids do not, but these bits are equally far from every node: cleared, they order nodes as
// before and tell in which part of the space that nodes can have an id lies.
func without(id ID, n int) ID {
	for i := 0; i < n/8; i++ {
		id[i] = 0
	}
	if n%8 != 0 {
		id[n/8] &= 0xff >> (n % 8)
	}
	return id
}

func less(a, b ID) bool { return bytes.Compare(a[:], b[:]) < 0 }
