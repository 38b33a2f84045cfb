package proof_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/bombard"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
)

// TestStrangersProofs (G9): the answer to a challenge, from its bytes on the wire to the verdict.
func TestStrangersProofs(t *testing.T) {
	content := bytes.Repeat([]byte("tessera."), 500)
	size := int64(len(content))
	outboard, root, err := digest.EncodeOutboard(bytes.NewReader(content), size)
	if err != nil {
		t.Fatal(err)
	}
	q := proof.Claim{Checksum: root, Size: size}.Challenge([32]byte{7}, false)
	right, err := proof.Make(q, size, bytes.NewReader(content), outboard)
	if err != nil {
		t.Fatal(err)
	}
	holder := newNode(t)
	body, err := wire.Encode(wire.SignProof(holder, q, holder.Key(), right, digest.Hash{}, time.Unix(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	bombard.Run(t, bombard.Parser{Name: "FuzzProofCheck", Seeds: [][]byte{body}, Parse: func(in []byte) {
		m, err := wire.Decode(wire.KindProof, in)
		if err != nil {
			return
		}
		if slices := m.(*wire.Proof).GetSlices(); proof.Check(q, size, slices) == nil && !bytes.Equal(bytes.Join(slices, nil), bytes.Join(right, nil)) {
			t.Fatal("another answer than the right one passes")
		}
	}})
}
