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

// Attestation is a holder's signed word on what its index says it holds: what an AttestResponse says.
// It proves nothing about the bytes themselves.
type Attestation struct {
	Holder   sdk.NodeKey
	Verifier sdk.NodeKey // who asked
	Nonce    [32]byte    // the verifier's
	Time     time.Time   // UTC, to the millisecond
	// Covered is how many tesseras of the request, from its first, this answers for. One of them that
	// is not in Held is not held.
	Covered   int
	Held      []Holding // in the order of the request
	Signature [signatureSize]byte
}

// Holding is what a holder has of one tessera.
type Holding struct {
	Tessera   sdk.TesseraID
	Fragments []HeldFragment // by ascending index
}

// HeldFragment is a fragment and the checksum the holder stored with it.
type HeldFragment struct {
	Index    int
	Checksum digest.Hash
}

// SignAttestation answers a request for the first a.Covered of its tesseras. Of a, the caller gives
// Verifier, Time, Covered and Held; holder, nonce and signature are filled in.
func SignAttestation(holder *identity.Node, request *AttestRequest, a Attestation) *AttestResponse {
	a.Holder = holder.Key()
	copy(a.Nonce[:], request.GetNonce())
	a.Signature = [signatureSize]byte(holder.Sign(a.text()))
	return a.Message()
}

// VerifyAttestation reads an answer of holder to a request by verifier and checks that it is that
// answer, in order, and signed: ErrMalformed or ErrSignature. The nonce makes it fresh; its time is
// the holder's clock and not compared with ours.
func VerifyAttestation(m *AttestResponse, request *AttestRequest, holder, verifier sdk.NodeKey) (Attestation, error) {
	a, err := m.parse()
	if err != nil {
		return Attestation{}, fmt.Errorf("attestation of %s: %w", holder.Short(), err)
	}
	if a.Holder != holder || a.Verifier != verifier || !bytes.Equal(a.Nonce[:], request.GetNonce()) {
		return Attestation{}, fmt.Errorf("attestation of %s: %w: an answer to another question", holder.Short(), ErrMalformed)
	}
	if err := a.answers(request); err != nil {
		return Attestation{}, fmt.Errorf("attestation of %s: %w", holder.Short(), err)
	}
	if !identity.Verify(holder, a.text(), a.Signature[:]) {
		return Attestation{}, fmt.Errorf("attestation of %s: %w", holder.Short(), ErrSignature)
	}
	return a, nil
}

// Fits tells how many of these holdings go into one answer, from the first: the rest is left for a
// next request by setting Covered accordingly.
func Fits(held []Holding) int {
	room := KindAttestResponse.Ceiling() - 4*kib
	for i, h := range held {
		room -= sdk.IDSize + 16 + len(h.Fragments)*(digest.Size+2)
		if room < 0 {
			return i
		}
	}
	return len(held)
}

// Message is the attestation as it travels.
func (a Attestation) Message() *AttestResponse {
	m := &AttestResponse{
		Holder: a.Holder[:], Verifier: a.Verifier[:], Nonce: a.Nonce[:], TimeMs: a.Time.UnixMilli(),
		Covered: uint32(a.Covered), Signature: a.Signature[:], Held: make([]*Held, len(a.Held)),
	}
	for i := range a.Held {
		m.Held[i] = a.Held[i].message()
	}
	return m
}

func (h *Holding) message() *Held {
	m := &Held{
		Tessera:   h.Tessera[:],
		Indices:   make([]uint32, len(h.Fragments)),
		Checksums: make([]byte, 0, len(h.Fragments)*digest.Size),
	}
	for i, f := range h.Fragments {
		m.Indices[i] = uint32(f.Index)
		m.Checksums = append(m.Checksums, f.Checksum[:]...)
	}
	return m
}

// answers checks that the holdings are among the tesseras covered, each once and in their order.
func (a *Attestation) answers(request *AttestRequest) error {
	asked := request.GetTesseras()
	if a.Covered > len(asked) {
		return fmt.Errorf("%w: covers more than was asked", ErrMalformed)
	}
	asked = asked[:a.Covered]
	for _, h := range a.Held {
		for len(asked) > 0 && !bytes.Equal(asked[0], h.Tessera[:]) {
			asked = asked[1:]
		}
		if len(asked) == 0 {
			return fmt.Errorf("%w: %s was not asked, or not there", ErrMalformed, h.Tessera.Short())
		}
		asked = asked[1:]
	}
	return nil
}

// text is what the holder signs: the holdings stand in it as the BLAKE3 of their canonical bytes.
func (a *Attestation) text() []byte {
	h := digest.New()
	var b []byte
	for _, held := range a.Held {
		b = append(b[:0], held.Tessera[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(held.Fragments)))
		for _, f := range held.Fragments {
			b = binary.BigEndian.AppendUint32(b, uint32(f.Index))
			b = append(b, f.Checksum[:]...)
		}
		h.Write(b)
	}
	holdings := h.Sum()
	b = append(b[:0], "tesseras attestation 1\n"...)
	b = append(b, a.Holder[:]...)
	b = append(b, a.Verifier[:]...)
	b = append(b, a.Nonce[:]...)
	b = appendTime(b, a.Time)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Covered))
	return append(b, holdings[:]...)
}

func (x *AttestResponse) parse() (a Attestation, err error) {
	if a.Holder, err = bytes32(x.GetHolder()); err != nil {
		return Attestation{}, err
	}
	if a.Verifier, err = bytes32(x.GetVerifier()); err != nil {
		return Attestation{}, err
	}
	if a.Nonce, err = bytes32(x.GetNonce()); err != nil {
		return Attestation{}, err
	}
	if a.Signature, err = bytes64(x.GetSignature()); err != nil {
		return Attestation{}, err
	}
	a.Time, a.Covered = time.UnixMilli(x.GetTimeMs()).UTC(), int(x.GetCovered())
	a.Held = make([]Holding, len(x.GetHeld()))
	for i, h := range x.GetHeld() {
		if a.Held[i], err = h.parse(); err != nil {
			return Attestation{}, err
		}
	}
	return a, nil
}

func (x *Held) parse() (h Holding, err error) {
	if h.Tessera, err = bytes32(x.GetTessera()); err != nil {
		return Holding{}, err
	}
	if len(x.GetChecksums()) != len(x.GetIndices())*digest.Size {
		return Holding{}, fmt.Errorf("%w: %d indices with %d bytes of checksums", ErrMalformed, len(x.GetIndices()), len(x.GetChecksums()))
	}
	h.Fragments = make([]HeldFragment, len(x.GetIndices()))
	for i, index := range x.GetIndices() {
		if index >= MaxFragments || i > 0 && index <= x.GetIndices()[i-1] {
			return Holding{}, fmt.Errorf("%w: index %d", ErrMalformed, index)
		}
		h.Fragments[i] = HeldFragment{int(index), digest.Hash(x.GetChecksums()[i*digest.Size:])}
	}
	return h, nil
}
