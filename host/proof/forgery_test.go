package proof_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/proof"
)

// sizeForgeries is how many forged answers are tried (G17).
var sizeForgeries = suite.Forgeries

// forger makes up answers to a challenge about s. It knows the plan, other fragments, an answer to another
// nonce, and even the right answer, of which it may change anything.
type forger struct {
	random *rand.Rand
	right  [][]byte
	other  [][]byte // of another fragment of the same size, for the same nonce
	old    [][]byte // of this fragment, for another nonce
}

// kinds are the ways to forge; each gives an answer that differs from the right one.
var forgeries = map[string]func(f *forger) [][]byte{
	"nothing":          func(*forger) [][]byte { return nil },
	"noise":            func(f *forger) [][]byte { return f.each(func(b []byte) []byte { return f.noise(len(b)) }) },
	"zeroes":           func(f *forger) [][]byte { return f.each(func(b []byte) []byte { return make([]byte, len(b)) }) },
	"another fragment": func(f *forger) [][]byte { return f.other },
	"another nonce":    func(f *forger) [][]byte { return f.old },
	"a flipped bit": func(f *forger) [][]byte {
		return f.one(func(b []byte) []byte { b[f.random.IntN(len(b))] ^= 1 << f.random.IntN(8); return b })
	},
	"cut off": func(f *forger) [][]byte { return f.one(func(b []byte) []byte { return b[:f.random.IntN(len(b))] }) },
	"drawn out": func(f *forger) [][]byte {
		return f.one(func(b []byte) []byte { return append(b, f.noise(1+f.random.IntN(99))...) })
	},
	"one slice of another fragment": func(f *forger) [][]byte {
		at := f.random.IntN(len(f.right))
		return f.replaced(at, f.other[min(at, len(f.other)-1)])
	},
	"right path, other bytes": func(f *forger) [][]byte {
		return f.one(func(b []byte) []byte { n := min(len(b)-8, digest.ChunkSize); copy(b[len(b)-n:], f.noise(n)); return b })
	},
	"right bytes, other path": func(f *forger) [][]byte {
		return f.one(func(b []byte) []byte {
			if n := len(b) - 8 - digest.ChunkSize; n > 0 {
				copy(b[8:8+n], f.noise(n))
			} else {
				b[8] ^= 1
			}
			return b
		})
	},
	"another length in the header": func(f *forger) [][]byte {
		return f.one(func(b []byte) []byte { b[f.random.IntN(8)] += byte(1 + f.random.IntN(255)); return b })
	},
	"one too few":  func(f *forger) [][]byte { return slices.Delete(slices.Clone(f.right), 0, 1) },
	"one too many": func(f *forger) [][]byte { return append(slices.Clone(f.right), f.right[0]) },
}

func (f *forger) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.random.Uint32())
	}
	return b
}

// each changes every slice, one a random one, replaced a given one.
func (f *forger) each(change func([]byte) []byte) (out [][]byte) {
	for _, b := range f.right {
		out = append(out, change(bytes.Clone(b)))
	}
	return out
}

func (f *forger) one(change func([]byte) []byte) [][]byte {
	at := f.random.IntN(len(f.right))
	return f.replaced(at, change(bytes.Clone(f.right[at])))
}

func (f *forger) replaced(at int, by []byte) [][]byte {
	out := slices.Clone(f.right)
	out[at] = by
	return out
}

// TestEveryForgeryIsCaught is the forgers' part of G17.
func TestEveryForgeryIsCaught(t *testing.T) {
	random := rand.New(rand.NewPCG(suite.Seed(t), 17))
	names := make([]string, 0, len(forgeries))
	for name := range forgeries {
		names = append(names, name)
	}
	slices.Sort(names)
	tried := 0
	for tried < sizeForgeries.Cases() {
		size := 1 + random.IntN(200_000)
		s, other := newShard(t, size, byte(random.Uint32())), newShard(t, size, byte(random.Uint32()))
		if bytes.Equal(s.bytes, other.bytes) {
			continue
		}
		for range 10 {
			nonce, before := randomNonce(random), randomNonce(random)
			q := s.claim.Challenge(nonce, false)
			f := &forger{random: random, right: s.answer(t, q)}
			f.other = other.answer(t, other.claim.Challenge(nonce, false))
			f.old = s.answer(t, s.claim.Challenge(before, false))
			if err := proof.Check(q, s.claim.Size, f.right); err != nil {
				t.Fatalf("the right answer of %d bytes: %v", size, err)
			}
			for _, name := range names {
				forged := forgeries[name](f)
				if equal(forged, f.right) {
					continue // a small fragment has the same chunks for every nonce
				}
				if err := proof.Check(q, s.claim.Size, forged); !errors.Is(err, proof.ErrWrong) {
					t.Fatalf("%s of %d bytes passes: %v", name, size, err)
				}
				tried++
			}
		}
	}
	sizeForgeries.Executed(t, tried, "forged answers")
}

func randomNonce(random *rand.Rand) (n [32]byte) {
	for i := range n {
		n[i] = byte(random.Uint32())
	}
	return n
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
