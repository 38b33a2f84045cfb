package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// PointerLife is how long after its time a pointer may expire at most.
const PointerLife = 24 * time.Hour

// pointerSkew is how far a holder's clock may run ahead of ours.
const pointerSkew = time.Hour

// ErrExpired tells that a pointer is past its expiry, or claims a life or a time it cannot have.
var ErrExpired = errors.New("pointer is not valid at this time")

// Pointer is a holder's signed word that it holds fragments of a tessera: a hint where to ask.
// Pointers are comparable values.
type Pointer struct {
	Tessera   sdk.TesseraID
	Holder    identity.Contact
	Time      time.Time // UTC, to the millisecond
	Expires   time.Time // UTC, to the millisecond
	Signature [signatureSize]byte
}

// SignPointer says that the node, reachable at holder.Addr, holds fragments of a tessera from now on
// for PointerLife.
func SignPointer(node *identity.Node, tessera sdk.TesseraID, holder identity.Contact, now time.Time) Pointer {
	now = now.Truncate(time.Millisecond).UTC()
	holder.Key, holder.Nonce = node.Key(), node.Nonce()
	p := Pointer{Tessera: tessera, Holder: holder, Time: now, Expires: now.Add(PointerLife)}
	p.Signature = [signatureSize]byte(node.Sign(p.text()))
	return p
}

// ReadPointer reads a pointer and checks all that can be checked without asking the holder, but its signature, which
// costs far more than all the rest: shape, proof of work and times. The errors are ErrMalformed, identity.ErrWork and
// ErrExpired.
func ReadPointer(m *SignedPointer, powBits int, now time.Time) (Pointer, error) {
	p, err := m.parse()
	if err != nil {
		return Pointer{}, fmt.Errorf("pointer: %w", err)
	}
	if !identity.CheckWork(p.Holder.ID(), powBits) {
		return Pointer{}, fmt.Errorf("pointer of %s: %w", p.Holder.ID().Short(), identity.ErrWork)
	}
	if !p.Expires.After(now) || p.Expires.Sub(p.Time) > PointerLife || p.Time.Sub(now) > pointerSkew {
		return Pointer{}, fmt.Errorf("pointer of %s: %w", p.Holder.ID().Short(), ErrExpired)
	}
	return p, nil
}

// VerifySignature checks that the holder signed the pointer: nil or ErrSignature.
func (p Pointer) VerifySignature() error {
	if !identity.Verify(p.Holder.Key, p.text(), p.Signature[:]) {
		return fmt.Errorf("pointer of %s: %w", p.Holder.ID().Short(), ErrSignature)
	}
	return nil
}

// Message is the pointer as it travels.
func (p Pointer) Message() *SignedPointer {
	return &SignedPointer{
		Tessera: p.Tessera[:], Holder: NewContact(p.Holder),
		TimeMs: p.Time.UnixMilli(), ExpiresMs: p.Expires.UnixMilli(), Signature: p.Signature[:],
	}
}

// text is what the holder signs. The address is 16 bytes, IPv4 as ::ffff:a.b.c.d.
func (p Pointer) text() []byte {
	ip := p.Holder.Addr.Addr().As16()
	b := []byte("tesseras pointer 1\n")
	b = append(b, p.Tessera[:]...)
	b = append(b, p.Holder.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Holder.Nonce)
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, p.Holder.Addr.Port())
	b = appendTime(b, p.Time)
	return appendTime(b, p.Expires)
}

func (x *SignedPointer) parse() (p Pointer, err error) {
	if p.Tessera, err = bytes32(x.GetTessera()); err != nil {
		return Pointer{}, err
	}
	if p.Holder, err = x.GetHolder().Parse(); err != nil {
		return Pointer{}, err
	}
	if p.Signature, err = bytes64(x.GetSignature()); err != nil {
		return Pointer{}, err
	}
	p.Time, p.Expires = time.UnixMilli(x.GetTimeMs()).UTC(), time.UnixMilli(x.GetExpiresMs()).UTC()
	return p, nil
}
