package tessera

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tesseras/tesseras/host/digest"
)

// Sink takes what Unpack reads. An error of a method ends the unpacking.
type Sink interface {
	// Manifest comes first, verified. The sink may keep it and may refuse it.
	Manifest(m *Manifest) error
	// Folder comes for each empty folder of the list, in its order.
	Folder(e Entry) error
	// File comes for each file of the list, in its order. The content is valid until File returns,
	// and ends in digest.ErrMismatch instead of io.EOF if it is not what the list says.
	File(e Entry, content io.Reader) error
}

// Unpack reads what Pack wrote and checks every byte of it: the owner's signature, the file list
// against the head, each file against its hash, and that all else is exactly what Pack would write.
// Because that is a pure function of the manifest, Unpack does not parse what it is given: it compares
// it with the header that belongs there.
//
// Only a nil error says that all of it was right: until then nobody may commit what the sink was given.
// ErrIncomplete, ErrFormat, ErrVersion, ErrSignature and digest.ErrMismatch tell what is wrong, and a
// *FileError at which file.
func Unpack(ctx context.Context, r io.Reader, sink Sink) error {
	u := unpacker{ctx: ctx, r: bufio.NewReaderSize(r, readAhead), hash: digest.New()}
	if err := u.unpack(sink); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

type unpacker struct {
	ctx  context.Context
	r    *bufio.Reader
	hash *digest.Hasher
	want []byte // scratch for headers
	buf  []byte // scratch for content, made when first needed
}

func (u *unpacker) unpack(sink Sink) error {
	m, err := u.manifest()
	if err != nil {
		return err
	}
	if err := sink.Manifest(m); err != nil {
		return err
	}
	for i, e := range m.Entries {
		if err := u.entry(sink, i, e); err != nil {
			return err
		}
	}
	return u.end()
}

// manifest reads the documents. The list is read only after its head was found to be signed.
func (u *unpacker) manifest() (*Manifest, error) {
	first, err := u.peek(blockSize)
	if err != nil {
		return nil, err
	}
	size, ok := parseOctal(first[124:135])
	if !ok || size > MaxHead {
		return nil, fmt.Errorf("%w: it does not begin with a head", ErrFormat)
	}
	head, err := u.document(headName, size)
	if err != nil {
		return nil, err
	}
	signature, err := u.signature()
	if err != nil {
		return nil, err
	}
	h, err := VerifyHead(head, signature)
	if err != nil {
		return nil, err
	}
	list, err := u.document(listName, h.ListSize)
	if err != nil {
		return nil, err
	}
	if digest.Of(list) != h.List {
		return nil, fmt.Errorf("file list: %w", digest.ErrMismatch)
	}
	m, err := assemble(head, signature, list)
	if err != nil {
		return nil, err
	}
	return m, m.Verify()
}

func (u *unpacker) signature() ([]byte, error) {
	line, err := u.document(signatureName, int64(signatureLineSize))
	if err != nil {
		return nil, err
	}
	d := document{name: signatureName, rest: line}
	signature := d.signature()
	return signature, d.end()
}

// document reads a whole entry. Memory grows with what is there, not with what is promised.
func (u *unpacker) document(name string, size int64) ([]byte, error) {
	if err := u.header(documentHeader(name, size)); err != nil {
		return nil, err
	}
	var content bytes.Buffer
	content.Grow(int(min(size, MaxHead)))
	n, err := io.Copy(&content, io.LimitReader(u.r, size))
	if err != nil {
		return nil, err
	}
	if n < size {
		return nil, ErrIncomplete
	}
	return content.Bytes(), u.zeros(padding(size))
}

func (u *unpacker) entry(sink Sink, index int, e Entry) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if err := u.header(packedHeader(index, e)); err != nil {
		return atFile(e.Path, err)
	}
	if e.Folder {
		return atFile(e.Path, sink.Folder(e))
	}
	u.hash.Reset()
	c := &content{u: u, left: e.Size, want: e.Hash}
	if err := sink.File(e, c); err != nil {
		return atFile(e.Path, err)
	}
	if _, err := c.WriteTo(io.Discard); err != nil {
		return atFile(e.Path, err)
	}
	return atFile(e.Path, u.zeros(padding(e.Size)))
}

// header reads the blocks before an entry and compares them with what belongs there.
func (u *unpacker) header(h tarHeader) error {
	u.want = h.append(u.want[:0])
	got, err := u.peek(len(u.want))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, u.want) {
		return fmt.Errorf("%w: the tar header is not that of %q", ErrFormat, h.name)
	}
	_, err = u.r.Discard(len(got))
	return err
}

// peek looks at the next n bytes; they are valid until more is read.
func (u *unpacker) peek(n int) ([]byte, error) {
	b, err := u.r.Peek(n)
	if err == io.EOF {
		err = ErrIncomplete
	}
	return b, err
}

var errNotZero = fmt.Errorf("%w: padding that is not zero", ErrFormat)

func (u *unpacker) zeros(n int64) error {
	b, err := u.peek(int(n))
	if err != nil {
		return err
	}
	for _, c := range b {
		if c != 0 {
			return errNotZero
		}
	}
	_, err = u.r.Discard(len(b))
	return err
}

// end checks the two empty blocks, and that nothing follows them.
func (u *unpacker) end() error {
	if err := u.zeros(2 * blockSize); err != nil {
		return err
	}
	switch _, err := u.r.Peek(1); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("%w: more follows after the end", ErrFormat)
	default:
		return err
	}
}

// content is one file's bytes in the stream, checked as they pass.
type content struct {
	u    *unpacker
	left int64
	want digest.Hash
	err  error // how it ended; io.EOF when it was right
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 || c.err != nil {
		return 0, c.finish()
	}
	if err := c.u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.u.r.Read(p[:min(int64(len(p)), c.left)])
	c.u.hash.Write(p[:n])
	c.left -= int64(n)
	if err != nil {
		c.fail(err)
		return n, c.err
	}
	return n, nil
}

// WriteTo implements io.WriterTo, for io.Copy: it reads, hashes and writes in large pieces.
func (c *content) WriteTo(w io.Writer) (written int64, err error) {
	if c.u.buf == nil && c.left > 0 {
		c.u.buf = make([]byte, bufferSize)
	}
	for c.left > 0 && c.err == nil {
		if err := c.u.ctx.Err(); err != nil {
			return written, err
		}
		piece := c.u.buf[:min(int64(len(c.u.buf)), c.left)]
		n, err := io.ReadFull(c.u.r, piece)
		c.u.hash.Write(piece[:n])
		c.left -= int64(n)
		if err != nil {
			c.fail(err)
			return written, c.err
		}
		n, err = w.Write(piece)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	if err := c.finish(); err != io.EOF {
		return written, err
	}
	return written, nil
}

func (c *content) fail(err error) {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrIncomplete
	}
	c.err = err
}

func (c *content) finish() error {
	if c.err != nil {
		return c.err
	}
	c.err = io.EOF
	if c.u.hash.Sum() != c.want {
		c.err = digest.ErrMismatch
	}
	return c.err
}
