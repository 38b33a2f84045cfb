package proof_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

type shard struct {
	claim    proof.Claim
	bytes    []byte
	outboard []byte
}

func newShard(t testing.TB, size int, seed byte) shard {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	outboard, sum, err := digest.EncodeOutboard(bytes.NewReader(b), int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return shard{proof.Claim{Tessera: sdk.TesseraID{seed}, Index: 3, Checksum: sum, Size: int64(size)}, b, outboard}
}

func (s shard) answer(t testing.TB, q *wire.Challenge) [][]byte {
	t.Helper()
	out, err := proof.Make(q, s.claim.Size, bytes.NewReader(s.bytes), s.outboard)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProofsOfEverySize(t *testing.T) {
	for _, size := range []int{0, 1, 1023, 1024, 1025, 5000, digest.GroupSize, digest.GroupSize + 1, 1<<20 + 17} {
		s := newShard(t, size, 1)
		q := s.claim.Challenge([32]byte{9}, false)
		at := proof.Positions(q, s.claim.Size)
		if size > 0 && (!slices.IsSorted(at) || at[len(at)-1] != digest.Chunks(s.claim.Size)-1 || at[0] < 0) {
			t.Errorf("%d bytes: positions %v", size, at)
		}
		if err := proof.Check(q, s.claim.Size, s.answer(t, q)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestAProofIsSmall is the goal for a fragment of 16 MiB.
func TestAProofIsSmall(t *testing.T) {
	s := newShard(t, 16<<20, 1)
	q := s.claim.Challenge([32]byte{1}, false)
	answer := wire.SignProof(newNode(t), q, sdk.NodeKey{1}, s.answer(t, q), digest.Hash{}, time.Unix(1, 0))
	body, err := wire.Encode(answer)
	if err != nil || len(body) > 20_000 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestWhatProvesNothing(t *testing.T) {
	s, other := newShard(t, 300_000, 1), newShard(t, 300_000, 2)
	q := s.claim.Challenge([32]byte{1}, false)
	good := s.answer(t, q)
	replayed := s.answer(t, s.claim.Challenge([32]byte{2}, false))
	turned := slices.Clone(good)
	slices.Reverse(turned)
	flipped := slices.Clone(good)
	flipped[2] = bytes.Clone(flipped[2])
	flipped[2][len(flipped[2])-1] ^= 1
	for name, answer := range map[string][][]byte{
		"nothing":              nil,
		"one slice too few":    good[1:],
		"one slice too many":   append(slices.Clone(good), good[0]),
		"the first one again":  slices.Repeat(good[:1], len(good)),
		"in another order":     turned,
		"a flipped bit":        flipped,
		"for an older nonce":   replayed,
		"of another fragment":  other.answer(t, other.claim.Challenge([32]byte{1}, false)),
		"empty slices":         make([][]byte, len(good)),
		"only length headers":  slices.Repeat([][]byte{{0, 0, 0, 0, 0, 0, 0, 0}}, len(good)),
		"a length of its own":  truncated(good),
		"with bytes at an end": append(slices.Clone(good[:len(good)-1]), append(bytes.Clone(good[len(good)-1]), 0)),
	} {
		if err := proof.Check(q, s.claim.Size, answer); !errors.Is(err, proof.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, size := range []int64{s.claim.Size - 1, s.claim.Size + 1, 1, 0} {
		if err := proof.Check(q, size, good); !errors.Is(err, proof.ErrWrong) {
			t.Errorf("of a size of %d: %v", size, err)
		}
	}
}

// truncated has the header of every slice say a smaller content.
func truncated(good [][]byte) (out [][]byte) {
	for _, s := range good {
		c := bytes.Clone(s)
		c[0]--
		out = append(out, c)
	}
	return out
}

func TestRottenBytesNeverLeave(t *testing.T) {
	s := newShard(t, 100_000, 1)
	for i := range s.bytes {
		s.bytes[i] ^= 1
	}
	q := s.claim.Challenge([32]byte{1}, false)
	if _, err := proof.Make(q, s.claim.Size, bytes.NewReader(s.bytes), s.outboard); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("made of rotten bytes: %v", err)
	}
	if _, err := proof.Make(q, s.claim.Size, bytes.NewReader(nil), s.outboard); err == nil {
		t.Error("made of no bytes")
	}
}

// TestPositionsAreEven draws many and compares the halves, and that each nonce gives others.
func TestPositionsAreEven(t *testing.T) {
	s := newShard(t, 1<<20, 1)
	low, all := 0, 0
	seen := map[int64]bool{}
	for i := range 2000 {
		for _, at := range proof.Positions(s.claim.Challenge([32]byte{byte(i), byte(i >> 8)}, false), s.claim.Size) {
			all++
			seen[at] = true
			if at < 512 {
				low++
			}
		}
	}
	if len(seen) != 1024 || low*100 < all*38 || low*100 > all*50 { // the last chunk is in the upper half
		t.Errorf("%d of %d in the lower half, %d of 1024 chunks ever chosen", low, all, len(seen))
	}
}

func TestTheBudgetFollowsTheWay(t *testing.T) {
	near, far := proof.Budget(time.Millisecond, 1<<20, false), proof.Budget(time.Second, 1<<20, false)
	if far-near < 3*time.Second || proof.Budget(0, 16<<20, true) <= proof.Budget(0, 16<<20, false) {
		t.Errorf("near %s, far %s", near, far)
	}
}

func BenchmarkMake16MiB(b *testing.B) {
	s := newShard(b, 16<<20, 1)
	q := s.claim.Challenge([32]byte{1}, false)
	for b.Loop() {
		s.answer(b, q)
	}
}

func BenchmarkCheck16MiB(b *testing.B) {
	s := newShard(b, 16<<20, 1)
	q := s.claim.Challenge([32]byte{1}, false)
	answer := s.answer(b, q)
	for b.Loop() {
		if err := proof.Check(q, s.claim.Size, answer); err != nil {
			b.Fatal(err)
		}
	}
}
