package cas

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tesseras/tesseras/host/digest"
)

// Remove removes the object of a hash unless it is pinned or, asked under the lock, still needed. It
// tells whether the file is gone now; that is then durable. A file that was not there is gone.
func (s *Store) Remove(h digest.Hash, stillNeeded func() (bool, error)) (gone bool, err error) {
	gone, err = s.unlink(h, stillNeeded)
	if err == nil && gone {
		err = s.syncGone(h)
	}
	if err != nil {
		return false, fmt.Errorf("remove object %s: %w", h.Short(), err)
	}
	return gone, nil
}

// RemoveAll is Remove for many, with one sync for each folder. It gives those that are gone. On an
// error some may be, which another call finds out.
func (s *Store) RemoveAll(hashes []digest.Hash, stillNeeded func(digest.Hash) (bool, error)) (gone []digest.Hash, err error) {
	touched := make(map[byte]digest.Hash)
	for _, h := range hashes {
		ok, err := s.unlink(h, func() (bool, error) { return stillNeeded(h) })
		if err != nil {
			return nil, fmt.Errorf("remove object %s: %w", h.Short(), err)
		}
		if ok {
			gone = append(gone, h)
			touched[h[0]] = h
		}
	}
	for _, h := range touched {
		if err := s.syncGone(h); err != nil {
			return nil, fmt.Errorf("remove objects: %w", err)
		}
	}
	return gone, nil
}

// unlink removes the file unless the object is pinned or needed. Both are asked, and the file goes,
// under one lock, so that nobody can begin to rely on the file in between.
func (s *Store) unlink(h digest.Hash, stillNeeded func() (bool, error)) (bool, error) {
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
	err = s.fs.Remove(Path(h))
	s.changed(h)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, s.dropOutboard(h)
}

// syncGone makes a removal durable. Where the folder is missing there was nothing to remove.
func (s *Store) syncGone(h digest.Hash) error {
	err := s.fs.SyncDir(folderOf(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
