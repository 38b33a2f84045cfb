package holders

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// The kinds of records in the journal: what happened between owners and holders that no other file
// tells. RecordTaken and RecordGiven are receipts, as they travel. Read from the first on, the records
// give the map of holders and the ledger back. Ids and keys are 32 bytes as they are, numbers are
// big-endian.
const (
	// RecordMet is where a holder can be reached, and the nonce of its proof of work: a contact as it
	// travels. It is written when that is news.
	RecordMet = 3
	// RecordHeld is what a holder holds of a tessera from now on, where that is not what its receipts
	// say: tessera, node key, owner key, then the fragments' numbers, 2 bytes each.
	RecordHeld = 4
	// RecordWish is what the owner wants of an own tessera: tessera, then 1 byte, 1 for "published" and 2
	// for "it was at its target once", added up.
	RecordWish = 5
	// RecordReleased is that a fragment kept here is not kept any more: tessera, number of 4 bytes. A
	// tombstone says the same of all fragments of its tessera.
	RecordReleased = 6
	// RecordCredit is for which fragments a holder's credit changes otherwise than by a receipt: node key,
	// seconds since 1970 of 8 bytes, then of each fragment: tessera, number of 2 bytes, and 1 byte that is a
	// CreditState. Without one what a holder holds gives it credit.
	RecordCredit = 7
	// RecordFailed is the evidence that a holder failed to prove a fragment, once for each it could prove
	// before: node key, seconds since 1970 of 8 bytes, tessera, number of 2 bytes, checksum, nonce, then what
	// the holder signed: its time in milliseconds since 1970 of 8 bytes, hash of the slices, keyed hash,
	// signature of 64 bytes; all zero where it signed nothing.
	RecordFailed = 8
)

// CreditState is what a fragment is worth to its holder from now on.
type CreditState byte

// The states, as they are written.
const (
	CreditGiven   CreditState = 1 // it gives credit: it was proven, or counts again
	CreditLapsed  CreditState = 2 // it gives none: it did not count for too long
	CreditFailed  CreditState = 3 // it gives none: a proof of it failed
	CreditClaimed CreditState = 4 // it gives none yet: its holder claims it and never proved it
)

// Credit is one fragment in a RecordCredit.
type Credit struct {
	Tessera sdk.TesseraID
	Index   int
	State   CreditState
}

// Credits is what RecordCredit says.
type Credits struct {
	Holder  sdk.NodeKey
	Time    time.Time
	Changed []Credit
}

// creditSize is the length of one fragment in a RecordCredit, creditsHead that of what comes first.
const (
	creditSize  = sdk.IDSize + 3
	creditsHead = sdk.IDSize + 8
)

func (c Credits) record() []byte {
	b := binary.BigEndian.AppendUint64(slices.Clone(c.Holder[:]), uint64(c.Time.Unix()))
	for _, f := range c.Changed {
		b = append(b, f.Tessera[:]...)
		b = append(binary.BigEndian.AppendUint16(b, uint16(f.Index)), byte(f.State))
	}
	return b
}

// ParseCredits reads a RecordCredit.
func ParseCredits(b []byte) (c Credits, err error) {
	if len(b) < creditsHead || (len(b)-creditsHead)%creditSize != 0 {
		return c, fmt.Errorf("credits: %w", errRecord)
	}
	copy(c.Holder[:], b)
	c.Time = time.Unix(int64(binary.BigEndian.Uint64(b[sdk.IDSize:])), 0)
	for rest := b[creditsHead:]; len(rest) > 0; rest = rest[creditSize:] {
		f := Credit{Index: int(binary.BigEndian.Uint16(rest[sdk.IDSize:])), State: CreditState(rest[creditSize-1])}
		copy(f.Tessera[:], rest)
		c.Changed = append(c.Changed, f)
	}
	return c, nil
}

// failedSize is the length of a RecordFailed.
const failedSize = 6*sdk.IDSize + 8 + 2 + 8 + 64

func failedRecord(holder sdk.NodeKey, r Result, at time.Time) []byte {
	b := binary.BigEndian.AppendUint64(slices.Clone(holder[:]), uint64(at.Unix()))
	b = binary.BigEndian.AppendUint16(append(b, r.Claim.Tessera[:]...), uint16(r.Claim.Index))
	b = append(append(b, r.Claim.Checksum[:]...), r.Nonce[:]...)
	s, signed := r.Statement, int64(0)
	if !s.Time.IsZero() {
		signed = s.Time.UnixMilli()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(signed))
	return append(append(append(b, s.Slices[:]...), s.Whole[:]...), s.Signature[:]...)
}

// ParseFailed reads a RecordFailed.
func ParseFailed(b []byte) (holder sdk.NodeKey, e catalog.Evidence, err error) {
	if len(b) != failedSize {
		return holder, e, fmt.Errorf("failed proof: %w", errRecord)
	}
	take := func(n int) []byte {
		part := b[:n]
		b = b[n:]
		return part
	}
	holder = sdk.NodeKey(take(sdk.IDSize))
	e.Outcome, e.Time = int(proof.Failed), time.Unix(int64(binary.BigEndian.Uint64(take(8))), 0)
	e.Tessera, e.Index = sdk.TesseraID(take(sdk.IDSize)), int(binary.BigEndian.Uint16(take(2)))
	e.Checksum, e.Nonce = digest.Hash(take(sdk.IDSize)), [32]byte(take(sdk.IDSize))
	if signed := int64(binary.BigEndian.Uint64(take(8))); signed != 0 {
		e.HolderTime = time.UnixMilli(signed)
	}
	e.Slices, e.Whole = digest.Hash(take(sdk.IDSize)), digest.Hash(take(sdk.IDSize))
	e.Signature = [64]byte(take(64))
	return holder, e, nil
}

// noteFailed keeps the evidence of proofs that failed.
func (b *Book) noteFailed(holder sdk.NodeKey, failed []Result) error {
	for _, r := range failed {
		if err := b.journal.Append(RecordFailed, failedRecord(holder, r, b.now())); err != nil {
			return fmt.Errorf("keep the evidence of a failed proof: %w", err)
		}
	}
	return nil
}

// creditsEach is how many fragments one record names at most.
const creditsEach = 16 << 10

// noteCredit keeps what changes in a holder's credit, before it is written into the index.
func (b *Book) noteCredit(holder sdk.NodeKey, changed []Credit) error {
	for part := range slices.Chunk(changed, creditsEach) {
		if err := b.journal.Append(RecordCredit, Credits{holder, b.now(), part}.record()); err != nil {
			return fmt.Errorf("keep a holder's credit: %w", err)
		}
	}
	return nil
}

// errRecord tells that a record says nothing that makes sense.
var errRecord = errors.New("not a record")

// Held is what RecordHeld says.
type Held struct {
	Tessera   sdk.TesseraID
	Holder    sdk.NodeKey
	Owner     sdk.OwnerKey // of the holder
	Fragments []int        // ascending
}

func (h Held) record() []byte {
	b := slices.Concat(h.Tessera[:], h.Holder[:], h.Owner[:])
	for _, i := range h.Fragments {
		b = binary.BigEndian.AppendUint16(b, uint16(i))
	}
	return b
}

// ParseHeld reads a RecordHeld.
func ParseHeld(b []byte) (h Held, err error) {
	const head = 3 * sdk.IDSize
	if len(b) < head || len(b)%2 != 0 {
		return h, fmt.Errorf("held: %w", errRecord)
	}
	copy(h.Tessera[:], b)
	copy(h.Holder[:], b[sdk.IDSize:])
	copy(h.Owner[:], b[2*sdk.IDSize:])
	for rest := b[head:]; len(rest) > 0; rest = rest[2:] {
		h.Fragments = append(h.Fragments, int(binary.BigEndian.Uint16(rest)))
	}
	return h, nil
}

// ParseMet reads a RecordMet.
func ParseMet(b []byte) (identity.Contact, error) {
	var m wire.Contact
	if err := proto.Unmarshal(b, &m); err != nil {
		return identity.Contact{}, fmt.Errorf("met: %w", err)
	}
	return m.Parse()
}

// ParseWish reads a RecordWish.
func ParseWish(b []byte) (t sdk.TesseraID, want, reached bool, err error) {
	if len(b) != sdk.IDSize+1 {
		return t, false, false, fmt.Errorf("wish: %w", errRecord)
	}
	copy(t[:], b)
	return t, b[sdk.IDSize]&1 != 0, b[sdk.IDSize]&2 != 0, nil
}

// ReleasedRecord gives a RecordReleased, for those who give a fragment up without its owner's tombstone.
func ReleasedRecord(t sdk.TesseraID, index int) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(t[:]), uint32(index))
}

// ParseReleased reads a RecordReleased.
func ParseReleased(b []byte) (t sdk.TesseraID, index int, err error) {
	if len(b) != sdk.IDSize+4 {
		return t, 0, fmt.Errorf("released: %w", errRecord)
	}
	copy(t[:], b)
	return t, int(binary.BigEndian.Uint32(b[sdk.IDSize:])), nil
}

// ParseReceipt reads a RecordTaken or RecordGiven. The signature is not checked again: it was, before
// the record was written.
func ParseReceipt(b []byte) (wire.Receipt, error) {
	var m wire.ReplicateAck
	if err := proto.Unmarshal(b, &m); err != nil {
		return wire.Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return wire.ParseReceipt(&m)
}

// Wish keeps what the owner wants of a tessera, before it is written into the index.
func (b *Book) Wish(t sdk.TesseraID, want, reached bool) error {
	flags := byte(0)
	if want {
		flags |= 1
	}
	if reached {
		flags |= 2
	}
	if err := b.journal.Append(RecordWish, append(t[:], flags)); err != nil {
		return fmt.Errorf("keep wish: %w", err)
	}
	return nil
}

// noteMet keeps where a holder can be reached, if that is news.
func (b *Book) noteMet(holder identity.Contact) error {
	known := false
	err := b.catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.HeldBy(holder.Key) {
			if err != nil {
				return err
			}
			h, err := tx.Holder(t, holder.Key)
			known = err == nil && h.Nonce == holder.Nonce && h.Addr == holder.Addr.String()
			return err
		}
		return nil
	})
	if err != nil || known || !holder.Addr.IsValid() {
		return err
	}
	record, err := proto.Marshal(wire.NewContact(holder))
	if err != nil {
		return err
	}
	if err := b.journal.Append(RecordMet, record); err != nil {
		return fmt.Errorf("keep contact: %w", err)
	}
	return nil
}

// noteHeld keeps what a holder said where that is news: other fragments than were known, and what gives it
// credit or gives none.
func (b *Book) noteHeld(holder identity.Contact, owner sdk.OwnerKey, all []news) error {
	var credits []Credit
	for _, n := range all {
		credits = append(credits, n.credits...)
		if !n.held {
			continue
		}
		h := Held{n.Tessera, holder.Key, owner, slices.Sorted(slices.Values(n.Fragments))}
		if err := b.journal.Append(RecordHeld, h.record()); err != nil {
			return fmt.Errorf("keep what a holder said: %w", err)
		}
	}
	return b.noteCredit(holder.Key, credits)
}

// creditsIn gives what a holder's statement changes in its credit: what it claims newly gives none before it
// is proven, unless nobody asks for proofs.
func (b *Book) creditsIn(h catalog.Holder, s Statement) (changed []Credit) {
	for _, i := range s.Fragments {
		at, known := slices.BinarySearchFunc(h.Fragments, i, byIndex)
		switch {
		case b.config.Proofs && !known:
			changed = append(changed, Credit{s.Tessera, i, CreditClaimed})
		case !b.config.Proofs && (!known || !h.Fragments[at].Credited() && h.Fragments[at].Failed.IsZero()):
			changed = append(changed, Credit{s.Tessera, i, CreditGiven})
		}
	}
	return changed
}
