package cas

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// File is an object open for reading at any place. Nothing of what it reads is checked but the size
// at the time it was opened: it is for those who check what they read themselves.
type File struct {
	f    vfs.File
	size int64
}

// Read implements io.Reader, from the beginning on.
func (f *File) Read(p []byte) (int, error) { return f.f.Read(p) }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size is the size in bytes.
func (f *File) Size() int64 { return f.size }

// Close implements io.Closer.
func (f *File) Close() error { return f.f.Close() }

// OpenAt opens the object of a hash and size for reading at any place. The errors to decide on are
// ErrMissing and, for a file of another size, ErrDamaged.
func (s *Store) OpenAt(h digest.Hash, size int64) (*File, error) {
	f, err := s.fs.Open(Path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("object %s: %w", h.Short(), ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", h.Short(), err)
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != size) {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, info.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("object %s: %w", h.Short(), err), f.Close())
	}
	return &File{f, size}, nil
}

// Open opens the object of a hash and size for reading from its beginning, and checks what is read:
// where a File has no error, the Reader ends with ErrDamaged unless all its bytes are those of the
// hash. Nobody may commit what it read before io.EOF.
func (s *Store) Open(h digest.Hash, size int64) (*Reader, error) {
	f, err := s.OpenAt(h, size)
	if err != nil {
		return nil, err
	}
	return &Reader{f: f, hash: h, v: digest.NewReader(f.f, h, size), left: size}, nil
}

// Contains tells whether there is a file for this hash. Whether it is intact only reading it tells.
func (s *Store) Contains(h digest.Hash) (bool, error) {
	_, err := s.fs.Stat(Path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// smallRead is the size from which on a reader's own buffer is good enough to hash from.
const smallRead = 256 << 10

// Reader reads an object and verifies it. It is for use by one goroutine.
type Reader struct {
	f    *File
	hash digest.Hash
	v    *digest.Reader
	left int64 // what the object still has to give
	err  error

	room []byte // for readers with small buffers
	rest []byte // of room, verified as far as can be, not handed out
}

var (
	_ io.ReadCloser = (*Reader)(nil)
	_ io.WriterTo   = (*Reader)(nil)
)

// Size is the size of the whole object in bytes.
func (r *Reader) Size() int64 { return r.f.size }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && len(p) >= smallRead {
		return r.next(p)
	}
	if len(r.rest) == 0 && len(p) > 0 {
		if err := r.refill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// refill reads the next bytes into the reader's own buffer.
func (r *Reader) refill() error {
	if r.room == nil {
		r.room = make([]byte, max(1, min(r.left, smallRead)))
	}
	n, err := r.next(r.room)
	r.rest = r.room[:n]
	return err
}

// WriteTo implements io.WriterTo, so that io.Copy reads in large steps.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	room := make([]byte, max(1, min(r.left+int64(len(r.rest)), chunk)))
	for {
		m, err := r.Read(room)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err = w.Write(room[:m])
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// next reads into p. The last bytes of the object are handed out only once the whole is verified.
func (r *Reader) next(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.v.Read(p)
	r.left -= int64(n)
	if err == nil && r.left <= 0 {
		_, err = r.v.Read(make([]byte, 1))
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		r.err = io.EOF
		if n > 0 {
			return n, nil
		}
	case errors.Is(err, digest.ErrMismatch):
		r.err = fmt.Errorf("object %s: %w: %w", r.hash.Short(), ErrDamaged, err)
	default:
		r.err = fmt.Errorf("object %s: %w", r.hash.Short(), err)
	}
	return 0, r.err
}

// Close implements io.Closer.
func (r *Reader) Close() error { return r.f.Close() }
