package tessera

import (
	"fmt"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Tombstone is an owner's word that a tessera is deleted. It is kept after the tessera is gone.
type Tombstone struct {
	Tessera   sdk.TesseraID
	Owner     sdk.OwnerKey
	Deleted   time.Time
	Signature []byte // Ed25519, over every line before its own
}

const tombstoneKind = "tombstone"

// maxTombstone is the size of the largest tombstone in bytes, with room to spare.
const maxTombstone = 512

// SignTombstone makes the tombstone of a tessera.
func SignTombstone(id sdk.TesseraID, deleted time.Time, owner Signer) (*Tombstone, error) {
	if err := CheckTime(deleted); err != nil {
		return nil, fmt.Errorf("tombstone: %w", err)
	}
	t := &Tombstone{Tessera: id, Owner: owner.Key(), Deleted: deleted.Round(0).UTC()}
	t.Signature = owner.Sign(t.signed())
	if err := t.Verify(t.Owner); err != nil {
		return nil, err
	}
	return t, nil
}

// signed gives the lines that the signature is over.
func (t *Tombstone) signed() []byte {
	b := make([]byte, 0, maxTombstone)
	b = append(b, "tesseras tombstone 1\ntessera: "...)
	b = append(b, t.Tessera.String()...)
	b = append(b, "\n"+ownerPrefix...)
	b = append(b, t.Owner.String()...)
	b = append(b, "\ndeleted: "...)
	b = appendTime(b, t.Deleted)
	return append(b, '\n')
}

// Bytes gives the tombstone file. The caller owns it.
func (t *Tombstone) Bytes() []byte { return appendSignature(t.signed(), t.Signature) }

// TombstoneOf is ParseTombstone for that of a tessera; one of another is ErrOtherTessera.
func TombstoneOf(id sdk.TesseraID, b []byte) (*Tombstone, error) {
	t, err := ParseTombstone(b)
	if err == nil && t.Tessera != id {
		return nil, ErrOtherTessera
	}
	return t, err
}

// ParseTombstone reads a tombstone file. It checks the form alone: see Verify.
func ParseTombstone(b []byte) (*Tombstone, error) {
	if len(b) > maxTombstone {
		return nil, fmt.Errorf("tombstone: %w: more than %d bytes", ErrFormat, maxTombstone)
	}
	d := document{name: "tombstone", rest: b}
	d.version(tombstoneKind)
	t := &Tombstone{
		Tessera:   sdk.TesseraID(d.hex("tessera: ", sdk.IDSize)),
		Owner:     d.owner(),
		Deleted:   d.time("deleted: "),
		Signature: d.signature(),
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return t, nil
}

// Verify checks that owner signed the tombstone. Anyone can sign one with a key of their own, so the
// caller takes owner from the tessera's head, never from the tombstone.
func (t *Tombstone) Verify(owner sdk.OwnerKey) error {
	if t.Owner != owner {
		return fmt.Errorf("tombstone: %w: it names the key %s", ErrSignature, t.Owner.Short())
	}
	if err := verifyOwner(owner, t.signed(), t.Signature); err != nil {
		return fmt.Errorf("tombstone: %w", err)
	}
	return nil
}
