package tessera

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// The entries of a packed tar before the files.
const (
	headName      = "head.txt"
	signatureName = "signature.txt"
	listName      = "files.txt"
)

// Pack writes a tessera as one tar stream: head, signature, file list, then every entry of the list.
// The bytes are a pure function of the manifest and the files. open gives the content of a file; Pack
// checks it against its hash while it passes, so open does not need to, and closes it.
//
// A *FileError names the file that could not be read or is not what its hash names (then it wraps
// digest.ErrMismatch); what was written until then is worth nothing.
func Pack(ctx context.Context, w io.Writer, m *Manifest, open func(Entry) (io.ReadCloser, error)) error {
	if err := m.Verify(); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	t := newTarWriter(w)
	for _, d := range m.documents() {
		if err := t.document(ctx, d.name, d.content); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	for i, e := range m.Entries {
		if err := packEntry(ctx, t, i, e, open); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	if err := t.end(); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

type namedDocument struct {
	name    string
	content []byte
}

func (m *Manifest) documents() []namedDocument {
	return []namedDocument{
		{headName, m.HeadBytes},
		{signatureName, appendSignature(nil, m.Signature)},
		{listName, m.ListBytes},
	}
}

func packEntry(ctx context.Context, t *tarWriter, index int, e Entry, open func(Entry) (io.ReadCloser, error)) error {
	if err := t.header(packedHeader(index, e)); err != nil || e.Folder {
		return err
	}
	r, err := open(e)
	if err != nil {
		return atFile(e.Path, err)
	}
	defer r.Close()
	switch err := t.body(ctx, r, e.Size); {
	case err == nil && t.hash.Sum() != e.Hash:
		return atFile(e.Path, digest.ErrMismatch)
	case err == errShort || err == errLong:
		return atFile(e.Path, fmt.Errorf("%w: %w", digest.ErrMismatch, err))
	case err == nil || t.failed != nil || err == ctx.Err():
		return err
	default:
		return atFile(e.Path, err)
	}
}

// packedHeader is what stands before an entry of the list in a packed tar; whole seconds suffice
// there, the list has the rest.
func packedHeader(index int, e Entry) tarHeader {
	h := tarHeader{name: filesPrefix + e.Path, size: e.Size, mtime: time.Unix(e.ModTime.Unix(), 0), index: index}
	if e.Folder {
		h.name += "/"
	}
	return h
}

func documentHeader(name string, size int64) tarHeader {
	return tarHeader{name: name, size: size, mtime: time.Unix(0, 0)}
}

// PackedSize is how many bytes Pack writes, known from the manifest alone.
func PackedSize(m *Manifest) int64 {
	size := int64(2 * blockSize)
	for _, d := range m.documents() {
		n := int64(len(d.content))
		size += blockSize + n + padding(n)
	}
	var scratch []byte
	for i, e := range m.Entries {
		scratch = packedHeader(i, e).append(scratch[:0])
		size += int64(len(scratch)) + e.Size + padding(e.Size)
	}
	return size
}
