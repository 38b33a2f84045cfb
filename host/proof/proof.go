// Package proof answers: does this holder have the bytes of this fragment, now?
//
// A verifier sends a fresh nonce; the nonce and the fragment choose a few chunks; the holder answers with
// those chunks and their paths up the BLAKE3 tree. The verifier needs nothing but the plan's checksum and
// size. Who kept the checksums alone cannot answer; who lost a share f of the bytes is found out by c
// chunks with probability 1-(1-f)^c. Who fetches on demand has a short time for it.
package proof

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Draws is how many chunks a nonce chooses at random. The last chunk, whose slice pins the length, comes
// on top.
const Draws = wire.MaxSlices - 1

// ErrWrong tells that an answer does not prove what it should.
var ErrWrong = errors.New("the answer proves nothing")

// Outcome is what became of a challenge.
type Outcome int

// The outcomes, each with a consequence of its own. Only the first counts as proven, and only Failed is
// held against the holder; what the others leave open is asked again.
const (
	Proven  Outcome = iota // the bytes are there
	Failed                 // a wrong answer, or none of a fragment that its index has
	Gone                   // its index has the fragment no more: it says so itself
	Late                   // a right answer, but after the time there was for it
	Offline                // no answer at all
	Busy                   // a refusal: not now
)

var outcomeNames = [...]string{"proven", "failed", "gone", "late", "offline", "busy"}

func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome %d", int(o))
	}
	return outcomeNames[o]
}

// Open tells whether the challenge was neither met nor failed.
func (o Outcome) Open() bool { return o == Late || o == Offline || o == Busy }

// Claim is what is to be proven: a fragment as its plan names it.
type Claim struct {
	Tessera  sdk.TesseraID
	Index    int
	Checksum digest.Hash
	Size     int64 // bytes
}

// Challenge asks for the proof of a claim.
func (c Claim) Challenge(nonce [32]byte, whole bool) *wire.Challenge {
	return &wire.Challenge{
		Nonce: nonce[:], Tessera: c.Tessera[:], Index: uint32(c.Index), Checksum: c.Checksum[:], Whole: whole,
	}
}

// Positions are the chunks that a challenge asks of a fragment of some size: ascending, each once, the
// last one always.
func Positions(q *wire.Challenge, size int64) []int64 {
	n := digest.Chunks(size)
	if n <= 0 {
		return nil
	}
	b := []byte("tesseras positions 1\n")
	b = append(b, q.GetNonce()...)
	b = append(b, q.GetTessera()...)
	b = binary.BigEndian.AppendUint32(b, q.GetIndex())
	seed := digest.Of(append(b, q.GetChecksum()...))
	chosen := []int64{n - 1}
	for i := range uint32(Draws) {
		draw := digest.Of(binary.BigEndian.AppendUint32(slices.Clone(seed[:]), i))
		chosen = append(chosen, int64(binary.BigEndian.Uint64(draw[:])%uint64(n)))
	}
	slices.Sort(chosen)
	return slices.Compact(chosen)
}

// Make is the holder's side: the slices a challenge asks for. It checks each, so that rotten bytes or a
// wrong outboard are digest.ErrMismatch and never leave.
func Make(q *wire.Challenge, size int64, data io.ReaderAt, outboard []byte) (out [][]byte, err error) {
	sum := digest.Hash(q.GetChecksum())
	for _, at := range Positions(q, size) {
		slice, err := digest.ExtractChunk(sum, size, at, data, outboard)
		if err != nil {
			return nil, fmt.Errorf("prove chunk %d: %w", at, err)
		}
		out = append(out, slice)
	}
	return out, nil
}

// Check is the verifier's side: it tells whether slices are the answer to a challenge about a fragment of
// this size. ErrWrong is every way in which they are not. A fragment of no bytes has nothing to prove.
func Check(q *wire.Challenge, size int64, answer [][]byte) error {
	want := Positions(q, size)
	if len(answer) != len(want) {
		return fmt.Errorf("%w: %d slices instead of %d", ErrWrong, len(answer), len(want))
	}
	sum := digest.Hash(q.GetChecksum())
	for i, at := range want {
		if _, err := digest.VerifyChunk(sum, size, at, answer[i]); err != nil {
			return fmt.Errorf("%w: chunk %d: %w", ErrWrong, at, err)
		}
	}
	return nil
}

// What an answer may take beyond the way there and back: a disk that has to wake up and seek for every
// chunk, a machine that is busy; and, for the keyed hash, reading all of it.
const (
	slack     = 2 * time.Second
	trips     = 4
	wholeRate = 8 << 20 // bytes a second
)

// Budget is how long an answer may take to count, from the measured round trip (0 = not measured).
func Budget(roundTrip time.Duration, size int64, whole bool) time.Duration {
	budget := slack + trips*roundTrip
	if whole {
		budget += time.Duration(size) * time.Second / wholeRate
	}
	return budget
}
