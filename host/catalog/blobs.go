package catalog

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// BlobRef says that a file of a tessera needs an object. Memory is the hash of the memory, which in
// this format is the file and so the object's own; Name is the file's path.
type BlobRef struct {
	Tessera sdk.TesseraID
	Memory  digest.Hash
	Name    string
	Hash    digest.Hash
	Size    int64 // bytes of the object
}

// nameSum is how many bytes of the hash of memory and name tell one file's reference from another's
// of the same tessera.
const nameSum = 16

func (b BlobRef) key() enc {
	return tesseraKey(kindBlob, b.Tessera).raw(b.Memory[:]).raw([]byte(b.Name))
}

func (b BlobRef) reference() enc {
	sum := digest.Of(enc(b.Memory[:]).raw([]byte(b.Name)))
	return hashKey(kindReference, b.Hash).raw([]byte{refBlob}).raw(b.Tessera[:]).raw(sum[:nameSum])
}

// AddBlobRef records that a file needs an object, and the object with its first reference. Adding
// the same again changes nothing; another hash for the same file is ErrConflict.
func (tx *Tx) AddBlobRef(b BlobRef) error {
	if len(b.Name) > maxName {
		return fmt.Errorf("name of %d bytes: %w", len(b.Name), ErrTooBig)
	}
	old, err := one(tx, b.key(), decodeBlobRef)
	if err == nil && (old.Hash != b.Hash || old.Size != b.Size) {
		return fmt.Errorf("file %q of tessera %s: %w", b.Name, b.Tessera.Short(), ErrConflict)
	}
	if err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := tx.addReference(b.Hash, b.Size, b.reference()); err != nil {
		return err
	}
	return tx.set(b.key(), newValue().raw(b.Hash[:]).uint(uint64(b.Size)))
}

// BlobRefs gives the references of a tessera's files.
func (tx *Tx) BlobRefs(t sdk.TesseraID) iter.Seq2[BlobRef, error] {
	return list(tx, tesseraKey(kindBlob, t), nil, decodeBlobRef)
}

// AllBlobRefs gives the references of the files of all tesseras.
func (tx *Tx) AllBlobRefs() iter.Seq2[BlobRef, error] {
	return list(tx, []byte{kindBlob}, nil, decodeBlobRef)
}

// DropBlobRefs drops up to limit references of a tessera's files. It gives the objects whose last
// reference went, whose files are now to be removed, and whether there are more references. A limit
// of 1,000 fits into a transaction.
func (tx *Tx) DropBlobRefs(t sdk.TesseraID, limit int) (released []digest.Hash, more bool, err error) {
	n := 0
	for b, err := range tx.BlobRefs(t) {
		if err != nil {
			return nil, false, err
		}
		if n == limit {
			return released, true, nil
		}
		n++
		last, err := tx.dropBlobRef(b)
		if err != nil {
			return nil, false, err
		}
		if last {
			released = append(released, b.Hash)
		}
	}
	return released, false, nil
}

func (tx *Tx) dropBlobRef(b BlobRef) (last bool, err error) {
	if err := tx.del(b.key()); err != nil {
		return false, err
	}
	return tx.dropReference(b.Hash, b.reference())
}

func decodeBlobRef(r row) (b BlobRef, err error) {
	k := openKey("file reference", r.key[1:])
	b.Tessera, b.Memory, b.Name = k.tessera(), k.hash(), string(k.rest())
	v := openValue("file reference", r.value)
	b.Hash, b.Size = v.hash(), int64(v.uint())
	return b, errors.Join(k.done(), v.done())
}
