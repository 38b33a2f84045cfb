package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// stageKnown knows the name before the content: it compares with the file of that name and writes
// only from where that differs.
func (s *Store) stageKnown(ctx context.Context, r io.Reader, h digest.Hash, hasher *digest.Hasher) (o Object, err error) {
	s.pin(h)
	defer s.unpinOn(&err, h)
	existing, size, err := s.openExisting(h)
	if err != nil {
		return Object{}, err
	}
	if existing == nil {
		return s.stageNew(ctx, r, h, hasher)
	}
	var secured errgroup.Group
	secured.Go(func() error { return s.secure(existing, h) }) // nobody writes to it while it is compared
	in, same, err := s.follow(ctx, r, existing, size)
	err = errors.Join(err, secured.Wait())
	existing.Close() // before it is replaced: not every file system renames over an open file
	switch {
	case err != nil && in != nil:
		return Object{}, errors.Join(err, in.discard())
	case err != nil:
		return Object{}, err
	case in != nil:
		return s.finishNew(in, h)
	}
	if got := same.hash.sum(); got != h {
		return Object{}, notAsKnown(got, h)
	}
	return Object{Hash: h, Size: same.size, Duplicate: true}, nil
}

func (s *Store) stageNew(ctx context.Context, r io.Reader, h digest.Hash, hasher *digest.Hasher) (Object, error) {
	in, err := s.receive(ctx, r, hasher, true)
	if err != nil {
		return Object{}, err
	}
	return s.finishNew(in, h)
}

func (s *Store) finishNew(in *incoming, h digest.Hash) (Object, error) {
	if err := in.sync(); err != nil {
		return Object{}, errors.Join(err, in.discard())
	}
	if got := in.hash.sum(); got != h {
		return Object{}, errors.Join(notAsKnown(got, h), in.discard())
	}
	return Object{Hash: h, Size: in.size}, s.commit(in, h)
}

func notAsKnown(got, want digest.Hash) error {
	return fmt.Errorf("%w: got %s instead of %s", digest.ErrMismatch, got.Short(), want.Short())
}

// comparison is how much of a stream was equal to the existing file, and its hash.
type comparison struct {
	size int64
	hash *hashing
}

// follow reads r beside the existing file of some size. Where they part it starts a new file with
// what was equal and gives that; where they do not, the comparison of the whole.
func (s *Store) follow(ctx context.Context, r io.Reader, existing vfs.File, size int64) (*incoming, *comparison, error) {
	c := &comparison{hash: s.hashing(digest.New())}
	defer c.hash.wait()
	want := s.room()
	defer s.leave(want)
	for {
		got := s.room()
		n, end, err := fill(ctx, r, got)
		if err != nil {
			s.leave(got)
			return nil, nil, err
		}
		m, err := io.ReadFull(existing, want[:n])
		same := m == n && bytes.Equal(got[:n], want[:n])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			same = false // a file that cannot be read is as wrong as one that differs
		}
		if !same || end && c.size+int64(n) != size {
			defer s.leave(got)
			in, err := s.part(ctx, c.size, got[:n], end, r, existing)
			return in, nil, err // in is nil on an error
		}
		c.hash.add(got, n)
		c.size += int64(n)
		if end {
			return nil, c, nil
		}
	}
}

// part starts a new file: the equal beginning from the existing one, the chunk that was not equal,
// and the rest of r. All of it is hashed again as it is written, because the existing file is not
// trusted to read the same twice.
func (s *Store) part(ctx context.Context, equal int64, differs []byte, end bool, r io.Reader, existing vfs.File) (*incoming, error) {
	in, err := s.newIncoming()
	if err != nil {
		return nil, err
	}
	in.hash = s.hashing(digest.New())
	if err := s.pump(ctx, in, io.NewSectionReader(existing, 0, equal)); err != nil {
		return nil, errors.Join(err, in.discard())
	}
	rest := io.Reader(bytes.NewReader(differs))
	if !end {
		rest = io.MultiReader(rest, r)
	}
	if err := s.pump(ctx, in, rest); err != nil {
		return nil, errors.Join(err, in.discard())
	}
	return in, nil
}

// equal compares two files of the same size. A file that cannot be read is not equal.
func (s *Store) equal(existing vfs.File, other io.ReaderAt, size int64) (bool, error) {
	a, b := s.room(), s.room()
	defer func() { s.leave(a); s.leave(b) }()
	for off := int64(0); off < size; {
		n := int(min(size-off, int64(len(a))))
		if _, err := other.ReadAt(b[:n], off); err != nil && err != io.EOF {
			return false, err
		}
		if _, err := existing.ReadAt(a[:n], off); err != nil && err != io.EOF || !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}
