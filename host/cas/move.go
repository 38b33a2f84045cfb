package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// Trash is the folder beside the store for what those who were not sure removed: it has a folder for each
// day, named like 2031-05-06 in UTC.
const Trash = "trash"

// TrashAll is MoveAll into today's folder of the trash.
func (s *Store) TrashAll(hashes []digest.Hash, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error) {
	return s.MoveAll(hashes, Trash+"/"+time.Now().UTC().Format(time.DateOnly), stillNeeded)
}

// MoveAll is RemoveAll for those who are not sure: the files go into a folder beside the store, under
// their names, durably. One that is there already under the name is replaced.
func (s *Store) MoveAll(hashes []digest.Hash, into string, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	if err := s.makeFolder(into); err != nil {
		return nil, fmt.Errorf("move objects to %s: %w", into, err)
	}
	touched := make(map[byte]digest.Hash)
	for _, h := range hashes {
		ok, err := s.move(h, into, func() (bool, error) { return stillNeeded(h) })
		if err != nil {
			return nil, fmt.Errorf("move object %s to %s: %w", h.Short(), into, err)
		}
		if ok {
			gone = append(gone, h)
			touched[h[0]] = h
		}
	}
	// first, and alone when it fails: better twice than nowhere
	if err := s.fs.SyncDir(into); err != nil {
		return nil, fmt.Errorf("move objects to %s: %w", into, err)
	}
	for _, h := range touched {
		err = errors.Join(err, s.syncGone(h))
	}
	if err != nil {
		return nil, fmt.Errorf("move objects to %s: %w", into, err)
	}
	return gone, nil
}

// Quarantine moves the file of an object that was found damaged into a folder beside the store. It
// moves the very file that was read: one that was written since stays, and so does one that somebody
// is staging. moved tells whether the object's file is gone now.
func (s *Store) Quarantine(h digest.Hash, into string, read Version) (moved bool, err error) {
	changed := func() (bool, error) {
		now, err := s.Version(h)
		if errors.Is(err, ErrMissing) {
			return false, nil
		}
		return now != read, err
	}
	gone, err := s.MoveAll([]digest.Hash{h}, into, func(digest.Hash) (bool, error) { return changed() })
	return len(gone) == 1, err
}

// Version tells one file under an object's name from a later one.
type Version struct {
	size     int64
	modified time.Time
}

// Size is the size of the file in bytes.
func (v Version) Size() int64 { return v.size }

// Modified is when the file was last written.
func (v Version) Modified() time.Time { return v.modified }

// Version gives that of the file under an object's name, or ErrMissing.
func (s *Store) Version(h digest.Hash) (Version, error) {
	info, err := s.fs.Stat(Path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return Version{}, fmt.Errorf("object %s: %w", h.Short(), ErrMissing)
	}
	if err != nil {
		return Version{}, fmt.Errorf("object %s: %w", h.Short(), err)
	}
	return Version{info.Size(), info.ModTime()}, nil
}

// move is unlink into a folder.
func (s *Store) move(h digest.Hash, into string, stillNeeded func() (bool, error)) (bool, error) {
	st := s.stripe(h)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.pins[h] > 0 {
		return false, nil
	}
	needed, err := stillNeeded()
	if err != nil || needed {
		return false, err
	}
	err = s.fs.Rename(Path(h), into+"/"+h.String()+suffix)
	s.changed(h)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, s.dropOutboard(h)
}

// makeFolder makes a folder of one level or two, durably.
func (s *Store) makeFolder(dir string) error {
	if err := s.fs.MkdirAll(dir); err != nil {
		return err
	}
	for i, c := range dir {
		if c == '/' {
			if err := s.fs.SyncDir(dir[:i]); err != nil {
				return err
			}
		}
	}
	return s.fs.SyncDir(".")
}
