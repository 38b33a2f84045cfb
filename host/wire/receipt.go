package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// ErrSignature tells that a signed statement was not signed by who it names.
var ErrSignature = errors.New("signature does not hold")

// Receipt is a holder's signed word that it has made a fragment durable: what a ReplicateAck says.
type Receipt struct {
	Tessera     sdk.TesseraID
	Owner       sdk.OwnerKey // of the plan: who is charged
	Index       uint32
	Checksum    digest.Hash
	Size        uint64
	Holder      sdk.NodeKey
	HolderOwner sdk.OwnerKey
	Sender      sdk.NodeKey // who pushed
	Time        time.Time   // to the millisecond
	Signature   [signatureSize]byte
}

// SignReceipt fills in holder and signature and gives the message to send. Time is cut to the
// millisecond.
func SignReceipt(holder *identity.Node, r Receipt) *ReplicateAck {
	r.Holder = holder.Key()
	r.Signature = [signatureSize]byte(holder.Sign(r.text()))
	return r.Message()
}

// VerifyReceipt reads a receipt and checks the holder's signature: ErrMalformed or ErrSignature.
// Whether it is about what was pushed, and from whom it was asked, is for the caller to compare.
func VerifyReceipt(m *ReplicateAck) (Receipt, error) {
	r, err := m.parse()
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	if !identity.Verify(r.Holder, r.text(), r.Signature[:]) {
		return Receipt{}, fmt.Errorf("receipt of %s: %w", r.Holder.Short(), ErrSignature)
	}
	return r, nil
}

// ParseReceipt reads a receipt whose signature was checked when it came: ErrMalformed.
func ParseReceipt(m *ReplicateAck) (Receipt, error) {
	r, err := m.parse()
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

// Message is the receipt as it travels.
func (r Receipt) Message() *ReplicateAck {
	return &ReplicateAck{
		Tessera: r.Tessera[:], Owner: r.Owner[:], Index: r.Index, Checksum: r.Checksum[:], Size: r.Size,
		Holder: r.Holder[:], HolderOwner: r.HolderOwner[:], Sender: r.Sender[:],
		TimeMs: r.Time.UnixMilli(), Signature: r.Signature[:],
	}
}

// text is what the holder signs.
func (r Receipt) text() []byte {
	b := []byte("tesseras receipt 1\n")
	b = append(b, r.Tessera[:]...)
	b = append(b, r.Owner[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Index)
	b = append(b, r.Checksum[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Size)
	b = append(b, r.Holder[:]...)
	b = append(b, r.HolderOwner[:]...)
	b = append(b, r.Sender[:]...)
	return appendTime(b, r.Time)
}

func (x *ReplicateAck) parse() (r Receipt, err error) {
	for _, f := range []struct {
		to   *[sdk.IDSize]byte
		from []byte
	}{
		{(*[sdk.IDSize]byte)(&r.Tessera), x.GetTessera()},
		{(*[sdk.IDSize]byte)(&r.Owner), x.GetOwner()},
		{(*[sdk.IDSize]byte)(&r.Checksum), x.GetChecksum()},
		{(*[sdk.IDSize]byte)(&r.Holder), x.GetHolder()},
		{(*[sdk.IDSize]byte)(&r.HolderOwner), x.GetHolderOwner()},
		{(*[sdk.IDSize]byte)(&r.Sender), x.GetSender()},
	} {
		if *f.to, err = bytes32(f.from); err != nil {
			return Receipt{}, err
		}
	}
	if r.Signature, err = bytes64(x.GetSignature()); err != nil {
		return Receipt{}, err
	}
	r.Index, r.Size, r.Time = x.GetIndex(), x.GetSize(), time.UnixMilli(x.GetTimeMs()).UTC()
	return r, nil
}

// bytes64 takes a slice for a signature; another length is ErrMalformed.
func bytes64(b []byte) (out [signatureSize]byte, err error) {
	if len(b) != len(out) {
		return out, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(b))
	}
	return [signatureSize]byte(b), nil
}

// appendTime appends a time as it is signed: milliseconds since 1970 UTC, 8 bytes, big-endian, two's
// complement.
func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}
