package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Clear throws an index away, damaged or not: the next Open begins an empty one, to be filled from the
// files beside it. The folder, its lock and the ballast stay. ErrInUse is as in Open.
func Clear(dir string, o Options) error {
	if err := clearDir(dir, o.withDefaults()); err != nil {
		return fmt.Errorf("clear index %s: %w", dir, err)
	}
	return nil
}

func clearDir(dir string, o Options) error {
	lock, err := lockDir(dir, o.LockWait)
	if err != nil {
		return err
	}
	defer lock.release()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockName || e.Name() == ballastName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
