package tessera

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Head is the document that names a tessera: its id is the BLAKE3 of the encoded head, and the owner
// signs exactly these bytes.
type Head struct {
	Owner    sdk.OwnerKey
	Title    string // raw bytes, at most MaxTitle; may be empty
	Created  time.Time
	Files    int
	Folders  int         // the empty folders in the list
	Bytes    int64       // the sum of the files' sizes
	List     digest.Hash // of the file list
	ListSize int64       // of the file list, in bytes
}

const headKind = "head"

// Encode gives the one spelling of a head.
func (h Head) Encode() []byte {
	b := make([]byte, 0, 512+len(h.Title))
	b = append(b, "tesseras head 1\n"+ownerPrefix...)
	b = append(b, h.Owner.String()...)
	b = append(b, "\n"+titlePrefix...)
	b = appendEscaped(b, h.Title)
	b = append(b, "\ncreated: "...)
	b = appendTime(b, h.Created)
	b = append(b, "\nfiles: "...)
	b = strconv.AppendInt(b, int64(h.Files), 10)
	b = append(b, "\nfolders: "...)
	b = strconv.AppendInt(b, int64(h.Folders), 10)
	b = append(b, "\nbytes: "...)
	b = strconv.AppendInt(b, h.Bytes, 10)
	b = append(b, "\nlist: blake3 "...)
	b = append(b, h.List.String()...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, h.ListSize, 10)
	return append(b, "\nencryption: none\n"...)
}

// ParseHead reads a head. It accepts exactly what Encode writes of a head within the limits, and does
// not look at any signature; see VerifyHead.
func ParseHead(b []byte) (Head, error) {
	if len(b) > MaxHead {
		return Head{}, fmt.Errorf("head: %w: more than %d bytes", ErrFormat, MaxHead)
	}
	d := document{name: "head", rest: b}
	d.version(headKind)
	h := Head{
		Owner:   d.owner(),
		Title:   d.title(),
		Created: d.time("created: "),
		Files:   int(d.number("files: ", MaxFiles)),
		Folders: int(d.number("folders: ", MaxFolders)),
		Bytes:   d.number("bytes: ", MaxBytes),
	}
	h.List, h.ListSize = d.listRef()
	d.encryption()
	if err := d.end(); err != nil {
		return Head{}, err
	}
	return h, nil
}

func (d *document) listRef() (hash digest.Hash, size int64) {
	v := d.value("list: blake3 ")
	if d.err != nil {
		return hash, 0
	}
	text, number, _ := bytes.Cut(v, []byte{' '})
	hash, err := parseHash(text)
	if err == nil {
		size, err = parseNumber(number, MaxList)
	}
	if err != nil {
		d.fail(err)
	}
	return hash, size
}

// encryption takes the last line. Any other word than "none" may come to mean something.
func (d *document) encryption() {
	v := d.value("encryption: ")
	switch {
	case d.err != nil || string(v) == "none":
	case validWord(string(v)):
		d.fail(fmt.Errorf("%w: encryption %s", ErrVersion, v))
	default:
		d.fail(errSpelling)
	}
}

// ID is the tessera's id: the BLAKE3 of the encoded head.
func (h Head) ID() sdk.TesseraID { return sdk.TesseraID(digest.Of(h.Encode())) }

// VerifyHead reads a head and checks that the key it names signed it.
func VerifyHead(b, signature []byte) (Head, error) {
	h, err := ParseHead(b)
	if err != nil {
		return Head{}, err
	}
	if err := verifyOwner(h.Owner, b, signature); err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

func verifyOwner(owner sdk.OwnerKey, message, signature []byte) error {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(owner[:], message, signature) {
		return ErrSignature
	}
	return nil
}

// check tells whether a head that is about to be signed can be read back.
func (h Head) check() error {
	return errors.Join(CheckTitle(h.Title), CheckTime(h.Created), atMost(listBytes, h.ListSize, MaxList))
}
