package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// temps knows the temporary files in use, so that those which are not can be told from them.
type temps struct {
	mu   sync.Mutex // guards live
	live map[string]bool
}

func (t *temps) enter(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[name] = true
}

func (t *temps) leave(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, name)
}

func (t *temps) inUse(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live[name]
}

// Leaked is what was found of files that were left behind: see ClearTemps and ClearOutboards.
type Leaked struct {
	Files int
	Bytes int64
	Young int // not judged
}

// ClearTemps removes temporary files that nobody writes any more and that were last written before a
// time. Such are left behind only where removing them failed; New clears those of earlier processes.
// remove is false to count alone.
func (s *Store) ClearTemps(ctx context.Context, before time.Time, remove bool) (found Leaked, err error) {
	for i := range uint64(tmpFolders) {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		if err := s.clearTemps(tmpFolderOf(i), before, remove, &found); err != nil {
			return found, fmt.Errorf("clear temporary files: %w", err)
		}
	}
	return found, nil
}

func (s *Store) clearTemps(dir string, before time.Time, remove bool, found *Leaked) error {
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := dir + "/" + e.Name()
		if s.temps.inUse(name) || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.ModTime().Before(before) {
			found.Young++
			continue
		}
		found.Files++
		found.Bytes += info.Size()
		if !remove {
			continue
		}
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
