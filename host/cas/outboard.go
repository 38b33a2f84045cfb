package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// An outboard is the BLAKE3 tree above an object's groups, with which a slice of the object is proven
// without reading the rest. It lies in a folder of its own, outboards/<2 hex>/<64 hex>.obao: derived,
// never synced, believed only as far as what is made with it proves right, and made again from the
// object when it is missing or wrong.
const (
	outboards      = "outboards"
	outboardSuffix = ".obao"
)

// smallTree is up to which size in bytes an object has no outboard on disk: reading it whole is as quick.
const smallTree = 1 << 20

// trees lets one outboard at a time be made again, so that questions about many of them do not read the
// whole disk at once.
type trees struct{ mu sync.Mutex }

// OutboardPath is where the outboard of an object lies.
func OutboardPath(h digest.Hash) string {
	return fmt.Sprintf("%s/%02x/%s%s", outboards, h[0], h, outboardSuffix)
}

// StageProvable is Stage for a known content of which slices will be proven: one pass over the bytes
// makes its hash and its outboard.
func (s *Store) StageProvable(ctx context.Context, r io.Reader, known digest.Hash) (Object, error) {
	if err := s.Room(0); err != nil {
		return Object{}, err
	}
	tree := digest.NewKeeping()
	o, err := s.stageKnown(ctx, r, known, tree)
	if err != nil {
		return Object{}, fmt.Errorf("store object: %w", err)
	}
	if !o.Duplicate && o.Size > smallTree {
		// what could not be written is made again when it is asked for
		_ = s.writeOutboard(known, tree.Outboard(o.Size))
	}
	return o, nil
}

// Outboard gives the outboard of an object, made again when it is missing or fresh is asked for. One from
// the disk may be wrong, which shows when a slice is made with it. The errors to decide on are ErrMissing
// and ErrDamaged, of the object.
func (s *Store) Outboard(h digest.Hash, size int64, fresh bool) ([]byte, error) {
	if size > smallTree && !fresh {
		if b := s.readOutboard(h, size); b != nil {
			return b, nil
		}
	}
	return s.makeOutboard(h, size)
}

func (s *Store) makeOutboard(h digest.Hash, size int64) ([]byte, error) {
	if size > smallTree {
		s.trees.mu.Lock()
		defer s.trees.mu.Unlock()
	}
	f, err := s.OpenAt(h, size)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, root, err := digest.EncodeOutboard(f, size)
	switch {
	case errors.Is(err, digest.ErrMismatch), err == nil && root != h:
		return nil, fmt.Errorf("object %s: %w", h.Short(), ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("object %s: %w", h.Short(), err)
	}
	if size > smallTree {
		_ = s.writeOutboard(h, b) // as above
	}
	return b, nil
}

// readOutboard gives an outboard from the disk, nil when there is none of the right size.
func (s *Store) readOutboard(h digest.Hash, size int64) []byte {
	f, err := s.fs.Open(OutboardPath(h))
	if err != nil {
		return nil
	}
	defer f.Close()
	want := digest.OutboardSize(size)
	if info, err := f.Stat(); err != nil || info.Size() != want {
		return nil
	}
	b := make([]byte, want)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil
	}
	return b
}

// writeOutboard puts an outboard in its place, where there is room. The object may be on its way out
// meanwhile; then ClearOutboards finds the outboard.
func (s *Store) writeOutboard(h digest.Hash, b []byte) error {
	if err := s.Room(uint64(len(b))); err != nil {
		return err
	}
	temp := s.tempName()
	f, err := s.fs.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(temp, OutboardPath(h))
		if errors.Is(err, fs.ErrNotExist) {
			if err = s.fs.MkdirAll(fmt.Sprintf("%s/%02x", outboards, h[0])); err == nil {
				err = s.fs.Rename(temp, OutboardPath(h))
			}
		}
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(temp))
	}
	return nil
}

// ClearOutboards removes the outboards, last written before a time, of objects that are not here: such are
// left behind where an object went while its outboard was being written. remove is false to count alone.
func (s *Store) ClearOutboards(ctx context.Context, before time.Time, remove bool) (found Leaked, err error) {
	for first := range Folders {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		if err := s.clearOutboards(byte(first), before, remove, &found); err != nil {
			return found, fmt.Errorf("clear outboards: %w", err)
		}
	}
	return found, nil
}

func (s *Store) clearOutboards(first byte, before time.Time, remove bool, found *Leaked) error {
	entries, err := s.fs.ReadDir(fmt.Sprintf("%s/%02x", outboards, first))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), outboardSuffix)
		h, err := digest.Parse(name)
		if !ok || err != nil {
			continue
		}
		if err := s.clearOutboard(h, e, before, remove, found); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) clearOutboard(h digest.Hash, e fs.DirEntry, before time.Time, remove bool, found *Leaked) error {
	here, err := s.Contains(h)
	if err != nil || here {
		return err
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.ModTime().Before(before) {
		found.Young++
		return nil
	}
	found.Files++
	found.Bytes += info.Size()
	if !remove {
		return nil
	}
	return s.dropOutboard(h)
}

// dropOutboard removes what was kept for an object that is gone.
func (s *Store) dropOutboard(h digest.Hash) error {
	err := s.fs.Remove(OutboardPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
