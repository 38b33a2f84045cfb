package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// Found is a file of the store, as Walk found it.
type Found struct {
	Path    string      // relative to the root of the file system
	Hash    digest.Hash // what its name says it is; zero for a name that no object has
	Size    int64       // bytes
	ModTime time.Time
}

// Sentinel is a file in the store's folder that is none of the store's: a node tells by it whether the
// disk is there.
const Sentinel = folder + "/disk"

// Stray tells that the file's name is not that of an object in its place.
func (f Found) Stray() bool { return f.Path != Path(f.Hash) }

// Walk gives every file under the store's folder to fn, in the order of their paths, temporary ones
// included. It holds one folder's names in memory at a time. Files that come or go meanwhile may be
// given or not.
func (s *Store) Walk(ctx context.Context, fn func(Found) error) error {
	tops, err := s.fs.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	for _, top := range tops {
		if err := s.walk(ctx, folder, top, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) walk(ctx context.Context, parent string, e fs.DirEntry, fn func(Found) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := parent + "/" + e.Name()
	if path == Sentinel {
		return nil
	}
	if !e.IsDir() {
		return s.visit(path, e, fn)
	}
	entries, err := s.fs.ReadDir(path)
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	for _, sub := range entries {
		if err := s.walk(ctx, path, sub, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) visit(path string, e fs.DirEntry, fn func(Found) error) error {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	f := Found{Path: path, Size: info.Size(), ModTime: info.ModTime()}
	if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
		if h, err := digest.Parse(name); err == nil && Path(h) == path {
			f.Hash = h
		}
	}
	return fn(f)
}
