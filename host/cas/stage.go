package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// Object is a content that was staged.
type Object struct {
	Hash      digest.Hash
	Size      int64 // bytes
	Duplicate bool  // it was here before, intact
}

// Stage stores what r gives and returns after it is on stable storage. The object is pinned: Remove
// leaves it alone until Unpin. On an error nothing stays behind and nothing is pinned.
//
// known, when not nil, is what the caller believes the hash to be; content of another hash is
// digest.ErrMismatch. It spares writing a content that is here already, which is then compared byte
// by byte while it comes in. In any case a file found under the object's name is not trusted: it is
// compared, and replaced when it is wrong.
func (s *Store) Stage(ctx context.Context, r io.Reader, known *digest.Hash) (Object, error) {
	if err := s.Room(0); err != nil {
		return Object{}, err
	}
	var o Object
	var err error
	if known != nil {
		o, err = s.stageKnown(ctx, r, *known, digest.New())
	} else {
		o, err = s.stage(ctx, r)
	}
	if err != nil {
		return Object{}, fmt.Errorf("store object: %w", err)
	}
	s.count(o)
	return o, nil
}

// stage writes first and learns the hash from that.
func (s *Store) stage(ctx context.Context, r io.Reader) (o Object, err error) {
	isNew := !s.repeats.Load() // probably: duplicates come in a row, and need not be synced
	in, err := s.receive(ctx, r, digest.New(), isNew)
	if err != nil {
		return Object{}, err
	}
	if isNew {
		if err := in.sync(); err != nil {
			return Object{}, errors.Join(err, in.discard())
		}
	}
	o = Object{Hash: in.hash.sum(), Size: in.size}
	s.pin(o.Hash)
	defer s.unpinOn(&err, o.Hash)
	o.Duplicate, err = s.isDuplicate(in, o.Hash)
	s.repeats.Store(o.Duplicate)
	if err != nil || o.Duplicate {
		return o, errors.Join(err, in.discard())
	}
	return o, s.commit(in, o.Hash)
}

// unpinOn unpins when *err is set, for use with defer.
func (s *Store) unpinOn(err *error, h digest.Hash) {
	if *err != nil {
		s.Unpin(h)
	}
}

// isDuplicate tells whether the object is here, durable and the same as what came in.
func (s *Store) isDuplicate(in *incoming, h digest.Hash) (bool, error) {
	existing, size, err := s.openExisting(h)
	if existing == nil {
		return false, err
	}
	defer existing.Close()
	if size != in.size {
		return false, nil
	}
	same, err := s.equal(existing, in.file, size)
	if err != nil || !same {
		return false, err
	}
	return true, s.secure(existing, h)
}

// openExisting opens the file of an object. A file that is missing is nil, without an error.
func (s *Store) openExisting(h digest.Hash) (vfs.File, int64, error) {
	f, err := s.fs.Open(Path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// secure makes a file that was found durable. Whoever wrote it may have died before that.
func (s *Store) secure(f vfs.File, h digest.Hash) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return s.folders.sync(h)
}

// commit makes a received file durable under the name of its hash.
func (s *Store) commit(in *incoming, h digest.Hash) error {
	if err := s.settle(in, h); err != nil {
		return err
	}
	return s.folders.sync(h)
}

// settle syncs a received file and gives it the name of its hash. Its folder is not synced. The
// temporary file is gone afterwards, whatever happens.
func (s *Store) settle(in *incoming, h digest.Hash) error {
	defer s.temps.leave(in.name)
	if err := in.sync(); err != nil {
		return errors.Join(err, in.discard())
	}
	if err := in.file.Close(); err != nil {
		return errors.Join(err, s.fs.Remove(in.name))
	}
	return s.place(in.name, h)
}

// place renames a synced temporary file to the name of its hash.
func (s *Store) place(temp string, h digest.Hash) error {
	err := s.folders.make(h)
	if err == nil {
		err = s.fs.Rename(temp, Path(h))
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(temp))
	}
	s.changed(h)
	return nil
}
