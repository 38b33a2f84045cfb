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

// SignAttestation answers a request for the first a.Covered of its tesseras. Of a, the caller gives
// Verifier, Time, Covered and Held; holder, nonce and signature are filled in.
func SignAttestation(holder *identity.Node, request *AttestRequest, a Attestation) *AttestResponse {
	a.Holder = holder.Key()
	copy(a.Nonce[:], request.GetNonce())
	m := a.Message()
	m.Signature = holder.Sign(a.text(m.GetHoldings()))
	return m
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
	if !identity.Verify(holder, a.text(m.GetHoldings()), a.Signature[:]) {
		return Attestation{}, fmt.Errorf("attestation of %s: %w", holder.Short(), ErrSignature)
	}
	return a, nil
}

// Fits tells how many of these holdings go into one answer, from the first: the rest is left for a
// next request by setting Covered accordingly.
func Fits(held []Holding) int {
	room := maxHoldings
	for i, h := range held {
		if room -= h.size(); room < 0 {
			return i
		}
	}
	return len(held)
}

// Message is the attestation as it travels.
func (a Attestation) Message() *AttestResponse {
	return &AttestResponse{
		Holder: a.Holder[:], Verifier: a.Verifier[:], Nonce: a.Nonce[:], TimeMs: a.Time.UnixMilli(),
		Covered: uint32(a.Covered), Holdings: encodeHoldings(a.Held), Signature: a.Signature[:],
	}
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

// text is what the holder signs: the holdings stand in it as the BLAKE3 of their bytes.
func (a *Attestation) text(holdings []byte) []byte {
	hash := digest.Of(holdings)
	b := []byte("tesseras attestation 1\n")
	b = append(b, a.Holder[:]...)
	b = append(b, a.Verifier[:]...)
	b = append(b, a.Nonce[:]...)
	b = appendTime(b, a.Time)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Covered))
	return append(b, hash[:]...)
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
	a.Held, err = parseHoldings(x.GetHoldings())
	return a, err
}
