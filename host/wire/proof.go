package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// ProofStatement is what a holder signs when it answers a challenge: that these slices of a fragment,
// and this keyed hash, are its answer to this nonce. Whether they are right is for the verifier to
// compute; the signature makes the answer evidence, also of a lie.
type ProofStatement struct {
	Holder   sdk.NodeKey
	Verifier sdk.NodeKey // who asked
	Nonce    [32]byte    // the verifier's
	Tessera  sdk.TesseraID
	Index    uint32
	Checksum digest.Hash
	Time     time.Time   // UTC, to the millisecond, by the holder's clock
	Slices   digest.Hash // BLAKE3 of the slices, one after another
	// Whole is the keyed hash of the fragment, zero where it was not asked for.
	Whole     digest.Hash
	Signature [signatureSize]byte
}

// SignProof answers a challenge of verifier. whole is used only where the challenge asks for it. The
// slices are kept.
func SignProof(holder *identity.Node, q *Challenge, verifier sdk.NodeKey, slices [][]byte, whole digest.Hash, now time.Time) *Proof {
	key := holder.Key()
	m := &Proof{Holder: key[:], Verifier: verifier[:], Nonce: q.GetNonce(), TimeMs: now.UnixMilli(), Slices: slices}
	if q.GetWhole() {
		m.Whole = whole[:]
	}
	s := proofStatement(m, q, key, verifier)
	m.Signature = holder.Sign(s.text())
	return m
}

// VerifyProof reads an answer of holder to a challenge by verifier and checks that it is that answer,
// and signed: ErrMalformed or ErrSignature. The nonce makes it fresh.
func VerifyProof(m *Proof, q *Challenge, holder, verifier sdk.NodeKey) (ProofStatement, error) {
	if !bytes.Equal(m.GetHolder(), holder[:]) || !bytes.Equal(m.GetVerifier(), verifier[:]) ||
		!bytes.Equal(m.GetNonce(), q.GetNonce()) || q.GetWhole() != (len(m.GetWhole()) == digest.Size) {
		return ProofStatement{}, fmt.Errorf("proof of %s: %w: an answer to another question", holder.Short(), ErrMalformed)
	}
	s := proofStatement(m, q, holder, verifier)
	var err error
	if s.Signature, err = bytes64(m.GetSignature()); err != nil {
		return ProofStatement{}, fmt.Errorf("proof of %s: %w", holder.Short(), err)
	}
	if !s.Holds() {
		return ProofStatement{}, fmt.Errorf("proof of %s: %w", holder.Short(), ErrSignature)
	}
	return s, nil
}

// Holds tells whether the holder signed the statement, so that kept evidence can be judged again.
func (s *ProofStatement) Holds() bool { return identity.Verify(s.Holder, s.text(), s.Signature[:]) }

func proofStatement(m *Proof, q *Challenge, holder, verifier sdk.NodeKey) ProofStatement {
	s := ProofStatement{Holder: holder, Verifier: verifier, Index: q.GetIndex(), Time: time.UnixMilli(m.GetTimeMs()).UTC()}
	copy(s.Nonce[:], q.GetNonce())
	copy(s.Tessera[:], q.GetTessera())
	copy(s.Checksum[:], q.GetChecksum())
	copy(s.Whole[:], m.GetWhole())
	h := digest.New()
	for _, slice := range m.GetSlices() {
		h.Write(slice)
	}
	s.Slices = h.Sum()
	return s
}

func (s *ProofStatement) text() []byte {
	b := []byte("tesseras proof 1\n")
	b = append(b, s.Holder[:]...)
	b = append(b, s.Verifier[:]...)
	b = append(b, s.Nonce[:]...)
	b = append(b, s.Tessera[:]...)
	b = binary.BigEndian.AppendUint32(b, s.Index)
	b = append(b, s.Checksum[:]...)
	b = appendTime(b, s.Time)
	b = append(b, s.Slices[:]...)
	return append(b, s.Whole[:]...)
}
