package tessera

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Manifest is a tessera without the content of its files: head, signature and file list, both as
// bytes and as what they say. Nobody changes one after it was made.
type Manifest struct {
	Head      Head
	HeadBytes []byte
	Signature []byte // the owner's Ed25519 signature over HeadBytes
	ListBytes []byte
	Entries   FileList
}

// Signer is what sealing needs of an owner.
type Signer interface {
	Key() sdk.OwnerKey
	Sign(message []byte) []byte
}

// Seal makes and signs the manifest of a list of files with their hashes. It sorts a copy of the list
// and fills in missing media types. The same list, title and time give the same documents.
func Seal(list FileList, title string, created time.Time, owner Signer) (*Manifest, error) {
	list = slices.Clone(list)
	for i := range list {
		if err := complete(&list[i]); err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
	}
	list.Sort()
	if err := list.Check(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	m := &Manifest{Entries: list, ListBytes: list.Encode()}
	m.Head = Head{
		Owner:    owner.Key(),
		Title:    title,
		Created:  created.Round(0).UTC(),
		List:     digest.Of(m.ListBytes),
		ListSize: int64(len(m.ListBytes)),
	}
	m.Head.Files, m.Head.Folders, m.Head.Bytes = list.Totals()
	if err := m.Head.check(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	m.HeadBytes = m.Head.Encode()
	m.Signature = owner.Sign(m.HeadBytes)
	if err := m.Verify(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return m, nil
}

// complete brings an entry into the form it has when it is read back.
func complete(e *Entry) error {
	e.ModTime = e.ModTime.Round(0).UTC()
	if e.Folder {
		return nil
	}
	if e.Hash.IsZero() {
		return &FileError{Path: e.Path, Err: errors.New("it has no hash")}
	}
	if e.MediaType == "" {
		e.MediaType = MediaType(e.Path)
	}
	return nil
}

// ID is the tessera's id.
func (m *Manifest) ID() sdk.TesseraID { return sdk.TesseraID(digest.Of(m.HeadBytes)) }

// Bytes gives the manifest file: head, signature line, an empty line, file list. The caller owns it.
func (m *Manifest) Bytes() []byte {
	b := make([]byte, 0, len(m.HeadBytes)+signatureLineSize+1+len(m.ListBytes))
	b = append(b, m.HeadBytes...)
	b = appendSignature(b, m.Signature)
	b = append(b, '\n')
	return append(b, m.ListBytes...)
}

// ParseManifest reads a manifest file. It checks the form alone: whether it is what its owner signed
// is for Verify to say. The manifest keeps b.
func ParseManifest(b []byte) (*Manifest, error) {
	if err := atMost("bytes of manifest", int64(len(b)), maxManifest); err != nil {
		return nil, err
	}
	// A head is at most MaxHead long, and a line of it cannot begin like the signature's.
	window := b[:min(len(b), MaxHead+len(signaturePrefix))]
	end := bytes.Index(window, []byte("\n"+signaturePrefix)) + 1
	if end == 0 {
		return nil, fmt.Errorf("manifest: %w: no signature after the head", ErrFormat)
	}
	list := min(len(b), end+signatureLineSize+1)
	d := document{name: "manifest, signature", rest: b[end:list]}
	signature := d.signature()
	if v := d.value(""); len(v) > 0 {
		d.fail(errors.New("want an empty line"))
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return assemble(b[:end:end], signature, b[list:])
}

// assemble reads the parts of a manifest and keeps them.
func assemble(head, signature, list []byte) (*Manifest, error) {
	h, err := ParseHead(head)
	if err != nil {
		return nil, err
	}
	entries, err := ParseFileList(list)
	if err != nil {
		return nil, err
	}
	return &Manifest{Head: h, HeadBytes: head, Signature: signature, ListBytes: list, Entries: entries}, nil
}

// Verify checks the owner's signature, and that the file list is the one the head names. ErrSignature,
// digest.ErrMismatch and ErrFormat tell what is wrong.
func (m *Manifest) Verify() error {
	if !bytes.Equal(m.Head.Encode(), m.HeadBytes) {
		return fmt.Errorf("head: %w", ErrFormat)
	}
	if err := verifyOwner(m.Head.Owner, m.HeadBytes, m.Signature); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if int64(len(m.ListBytes)) != m.Head.ListSize || digest.Of(m.ListBytes) != m.Head.List {
		return fmt.Errorf("file list: %w", digest.ErrMismatch)
	}
	if files, folders, size := m.Entries.Totals(); files != m.Head.Files || folders != m.Head.Folders || size != m.Head.Bytes {
		return fmt.Errorf("head: %w: it counts %d files, %d folders and %d bytes, the list has %d, %d and %d", ErrFormat,
			m.Head.Files, m.Head.Folders, m.Head.Bytes, files, folders, size)
	}
	return nil
}
