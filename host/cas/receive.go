package cas

import (
	"context"
	"errors"
	"io"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// incoming is a content in a temporary file, not synced.
type incoming struct {
	s    *Store
	name string
	file vfs.File
	size int64
	hash *digest.Hasher
}

// discard closes and removes the file.
func (in *incoming) discard() error {
	defer in.s.temps.leave(in.name)
	return errors.Join(in.file.Close(), in.s.fs.Remove(in.name))
}

func (s *Store) newIncoming(h *digest.Hasher) (*incoming, error) {
	name := s.tempName()
	s.temps.enter(name)
	f, err := s.fs.Create(name)
	if err != nil {
		s.temps.leave(name)
		return nil, err
	}
	return &incoming{s: s, name: name, file: f, hash: h}, nil
}

// receive writes all of r to a temporary file and hashes it on the way.
func (s *Store) receive(ctx context.Context, r io.Reader, h *digest.Hasher) (*incoming, error) {
	in, err := s.newIncoming(h)
	if err != nil {
		return nil, err
	}
	if err := s.pump(ctx, in, r); err != nil {
		return nil, errors.Join(err, in.discard())
	}
	return in, nil
}

// pump appends all of r to in. While one chunk is hashed it is written, and the next one is read.
func (s *Store) pump(ctx context.Context, in *incoming, r io.Reader) error {
	now, next := s.room(), s.room()
	defer func() { s.leave(now); s.leave(next) }()
	hashed := done()
	defer func() { <-hashed }()
	for {
		n, end, err := fill(ctx, r, now)
		<-hashed
		if err != nil {
			return err
		}
		hashed = hashAside(in.hash, now[:n])
		if _, err := in.file.Write(now[:n]); err != nil {
			return err
		}
		in.size += int64(n)
		if in.size%roomEvery < int64(n) { // the size of what comes was not known before
			if err := s.Room(0); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
		now, next = next, now
	}
}

// roomEvery is after how many bytes of a content it is asked again whether there is room.
const roomEvery = 8 << 20

// aside is from how many bytes on hashing beside the write pays for the goroutine.
const aside = 64 << 10

// hashAside hashes b, which must not change until the result is closed.
func hashAside(h *digest.Hasher, b []byte) <-chan struct{} {
	if len(b) < aside {
		h.Write(b)
		return done()
	}
	c := make(chan struct{})
	go func() {
		defer close(c)
		h.Write(b)
	}()
	return c
}

func done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// fill reads until b is full or r is at its end.
func fill(ctx context.Context, r io.Reader, b []byte) (n int, end bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	n, err = io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, true, nil
	}
	return n, false, err
}
