package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// Folders is how many folders the objects are spread over, by the first byte of their hashes.
const Folders = 256

// Listed is the file of an object, as List found it.
type Listed struct {
	Hash  digest.Hash
	entry fs.DirEntry
}

// Stat gives size and time of the file. A file that has gone since is ErrMissing.
func (l Listed) Stat() (size int64, modified time.Time, err error) {
	info, err := l.entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, fmt.Errorf("object %s: %w", l.Hash.Short(), ErrMissing)
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("object %s: %w", l.Hash.Short(), err)
	}
	return info.Size(), info.ModTime(), nil
}

// List gives the objects whose hashes begin with a byte, in order of their hashes, and how many files
// lie beside them that have no object's name. It reads names only.
func (s *Store) List(first byte) (objects []Listed, strays int, err error) {
	dir := folderOf(digest.Hash{first})
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list objects: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		h, err := digest.Parse(name)
		if !ok || err != nil || h[0] != first || e.IsDir() || h.String() != name {
			strays++
			continue
		}
		objects = append(objects, Listed{h, e})
	}
	return objects, strays, nil
}

// Mounted is an error when the folders that New made are not there: then the disk is gone, and nothing
// can be said of any object.
func (s *Store) Mounted() error {
	if _, err := s.fs.Stat(tmpFolderOf(0)); err != nil {
		return fmt.Errorf("objects are not there at all: %w", err)
	}
	return nil
}
