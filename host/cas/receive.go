package cas

import (
	"context"
	"errors"
	"io"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// incoming is a content in a temporary file.
type incoming struct {
	s      *Store
	name   string
	file   vfs.File // nil when it is closed, which only those that are laid are
	size   int64
	hash   *hashing // nil where the hash was known before
	early  bool     // it goes to the disk while it is being written
	synced bool     // what was written is on stable storage
}

// discard closes the file and removes it.
func (in *incoming) discard() error {
	defer in.s.temps.leave(in.name)
	if in.hash != nil {
		in.hash.wait()
	}
	return errors.Join(in.close(), in.s.fs.Remove(in.name))
}

// close closes the file, unless it is closed.
func (in *incoming) close() error {
	if in.file == nil {
		return nil
	}
	f := in.file
	in.file = nil
	return f.Close()
}

// sync makes the content durable, once. The hash may still be behind: nothing is known of the content
// then, and its file has no name.
func (in *incoming) sync() error {
	if in.synced {
		return nil
	}
	err := in.file.Sync()
	in.synced = err == nil
	return err
}

func (s *Store) newIncoming() (*incoming, error) {
	name := s.tempName()
	s.temps.enter(name)
	f, err := s.fs.Create(name)
	if err != nil {
		s.temps.leave(name)
		return nil, err
	}
	return &incoming{s: s, name: name, file: f}, nil
}

// receive writes all of r to a temporary file and hashes it on the way. early is for a content that will be
// synced, as far as can be told: the disk begins with it before all of it is here.
func (s *Store) receive(ctx context.Context, r io.Reader, h *digest.Hasher, early bool) (*incoming, error) {
	in, err := s.newIncoming()
	if err != nil {
		return nil, err
	}
	in.hash, in.early = s.hashing(h), early
	if err := s.pump(ctx, in, r); err != nil {
		return nil, errors.Join(err, in.discard())
	}
	return in, nil
}

// pump appends all of r to in. What is written is hashed while more is read and written.
func (s *Store) pump(ctx context.Context, in *incoming, r io.Reader) error {
	for end := false; !end; {
		room := s.room()
		n, last, err := fill(ctx, r, room)
		if err == nil {
			_, err = in.file.Write(room[:n])
		}
		if err != nil {
			s.leave(room)
			return err
		}
		in.hash.add(room, n)
		if in.early && !last {
			if err := vfs.StartWriting(in.file, in.size, int64(n)); err != nil {
				return err
			}
		}
		in.size += int64(n)
		if in.size%roomEvery < int64(n) { // the size of what comes was not known before
			if err := s.Room(0); err != nil {
				return err
			}
		}
		end = last
	}
	return nil
}

// roomEvery is after how many bytes of a content it is asked again whether there is room.
const roomEvery = 8 << 20

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
