package placement

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// merit is what this node knows of a peer, in steps so coarse that most peers are equal: among
// equals the nearer one is taken, and small changes reshuffle nothing. More is better; an earlier
// step outweighs all later ones.
type merit [5]int

// The steps of merit.
const (
	balance = iota // doublings of 64 MiB that the peer's owner stores for us beyond what we store for it
	proofs
	uptime
	space
	age
)

const (
	day           = 24 * 60 * 60
	balanceStep   = 26 // 2^26 bytes = 64 MiB
	doubtfulAfter = 4  // proofs asked, before failing them says anything
)

func meritOf(c *sdk.Candidate) merit {
	return merit{
		balance: balanceSteps(c.GetBalanceBytes()),
		proofs:  proofSteps(c),
		uptime:  uptimeSteps(c.GetUptimePpm()),
		space:   min(1, bits.Len64(c.GetFreeBytes())),
		age:     ageSteps(c.GetAgeS()),
	}
}

func balanceSteps(bytes int64) int {
	if bytes < 0 {
		return -bits.Len64(-uint64(bytes) >> balanceStep)
	}
	return bits.Len64(uint64(bytes) >> balanceStep)
}

// proofSteps puts a peer that was never asked among the good ones, below the proven.
func proofSteps(c *sdk.Candidate) int {
	switch ppm := c.GetProofSuccessPpm(); {
	case c.GetProofsAsked() == 0 && ppm == 0:
		return 2
	case ppm >= 990_000:
		return 3
	case ppm >= 900_000:
		return 2
	case ppm >= 500_000:
		return 1
	}
	return 0
}

func uptimeSteps(ppm uint32) int {
	switch {
	case ppm >= 900_000:
		return 2
	case ppm >= 500_000, ppm == 0:
		return 1
	}
	return 0
}

func ageSteps(seconds uint64) int {
	switch {
	case seconds >= 30*day:
		return 2
	case seconds >= day:
		return 1
	}
	return 0
}

// behind is the first step in which m differs from o, if it is the lower one there; else -1.
func (m merit) behind(o merit) int {
	for step := range m {
		if m[step] != o[step] {
			if m[step] < o[step] {
				return step
			}
			break
		}
	}
	return -1
}

// isDoubtful tells whether a peer fails most of its proofs. Such a peer is used only where there
// are not enough others.
func isDoubtful(c *sdk.Candidate) bool {
	return c.GetProofsAsked() >= doubtfulAfter && c.GetProofSuccessPpm() < sdk.PPM/2
}

// comparePeers orders peers by preference, the best first: no doubts, the guards' score, merit,
// nearness, then a draw by hash of tessera and peer. The draw is each pair's own, so a new peer moves
// nobody but the one it displaces (rendezvous hashing, Thaler and Ravishankar 1998).
func comparePeers(a, b peer) int {
	return cmp.Or(
		cmp.Compare(boolInt(a.doubtful), boolInt(b.doubtful)),
		cmp.Compare(b.score, a.score),
		slices.Compare(b.merit[:], a.merit[:]),
		cmp.Compare(b.near, a.near),
		cmp.Compare(a.draw, b.draw),
		bytes.Compare(a.id, b.id),
	)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hashID mixes an id to 64 bits: FNV-1a over its bytes, then mix.
func hashID(id []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range id {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of x moves every bit of
// the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// drawFor is the draw of one peer for one fragment.
func drawFor(draw uint64, fragment uint32) uint64 {
	return mix(draw + (uint64(fragment)+1)*0x9e3779b97f4a7c15)
}
