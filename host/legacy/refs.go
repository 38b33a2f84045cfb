package legacy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Folder and Extension are where References of a tessera lie: see package sidecar.
const (
	Folder    = "legacy"
	Extension = ".refs"
)

// MaxDocument is the size of the largest References document in bytes.
const MaxDocument = 64 << 20

// ErrFormat tells that bytes are not a References document.
var ErrFormat = errors.New("not a document of references")

// References says which objects came from the old layout for one tessera. It is kept beside the index,
// because nothing else on the disk says what they are where there is no manifest and no plan.
type References struct {
	Tessera   sdk.TesseraID
	Blobs     []Blob     // ordered by memory and name
	Fragments []Fragment // ordered by index
}

// Blob is a file of a memory: blobs/<tessera>/<memory>/<name> in the old layout.
type Blob struct {
	Memory digest.Hash
	Name   string // raw bytes
	Hash   digest.Hash
	Size   int64 // bytes
}

// Fragment is a shard: fragments/<tessera>/<index>.shard in the old layout.
type Fragment struct {
	Index int
	Hash  digest.Hash
	Size  int64 // bytes
}

const firstLine = "tesseras references 1\n"

// Bytes gives the document: the version line, the tessera, then a line for each reference. Names are
// percent-encoded as in a file list.
func (r *References) Bytes() []byte {
	r.order()
	b := append([]byte(firstLine), "tessera: "+r.Tessera.String()+"\n"...)
	for _, f := range r.Blobs {
		b = fmt.Appendf(b, "blob: %s %s %d %s\n", f.Memory, f.Hash, f.Size, escape(f.Name))
	}
	for _, f := range r.Fragments {
		b = fmt.Appendf(b, "fragment: %d %s %d\n", f.Index, f.Hash, f.Size)
	}
	return b
}

// order sorts the references and drops those that are there twice.
func (r *References) order() {
	slices.SortFunc(r.Blobs, func(a, b Blob) int {
		return cmp.Or(bytes.Compare(a.Memory[:], b.Memory[:]), strings.Compare(a.Name, b.Name), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	slices.SortFunc(r.Fragments, func(a, b Fragment) int {
		return cmp.Or(a.Index-b.Index, bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	r.Blobs, r.Fragments = slices.Compact(r.Blobs), slices.Compact(r.Fragments)
}

// Parse reads a document. It accepts what Bytes writes.
func Parse(b []byte) (*References, error) {
	if len(b) > MaxDocument {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	rest, ok := strings.CutPrefix(string(b), firstLine)
	if !ok || !strings.HasSuffix(rest, "\n") {
		return nil, ErrFormat
	}
	var r References
	for number, line := range strings.Split(strings.TrimSuffix(rest, "\n"), "\n") {
		if err := r.parseLine(number, line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFormat, number+2, err)
		}
	}
	if !bytes.Equal(r.Bytes(), b) {
		return nil, fmt.Errorf("%w: not in the one spelling there is", ErrFormat)
	}
	return &r, nil
}

func (r *References) parseLine(number int, line string) (err error) {
	fields := strings.Split(line, " ")
	switch {
	case number == 0 && fields[0] == "tessera:" && len(fields) == 2:
		r.Tessera, err = sdk.ParseTesseraID(fields[1])
	case number > 0 && fields[0] == "blob:" && len(fields) == 5:
		var f Blob
		f.Memory, err = digest.Parse(fields[1])
		err = errors.Join(err, parseObject(fields[2:], &f.Hash, &f.Size), unescape(fields[4], &f.Name))
		r.Blobs = append(r.Blobs, f)
	case number > 0 && fields[0] == "fragment:" && len(fields) == 4:
		var f Fragment
		f.Index, err = strconv.Atoi(fields[1])
		err = errors.Join(err, parseObject(fields[2:], &f.Hash, &f.Size))
		r.Fragments = append(r.Fragments, f)
	default:
		err = errors.New("unknown")
	}
	return err
}

func parseObject(fields []string, h *digest.Hash, size *int64) (err error) {
	if *h, err = digest.Parse(fields[0]); err != nil {
		return err
	}
	*size, err = strconv.ParseInt(fields[1], 10, 64)
	return err
}

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c > 0x20 && c < 0x7f && c != '%' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func unescape(s string, out *string) error {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if len(s)-i < 3 {
			return errors.New("a cut percent sign")
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return err
		}
		b.WriteByte(byte(c))
		i += 2
	}
	*out = b.String()
	return nil
}
