package cas_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

func provable(t *testing.T) (*cas.Store, string) {
	t.Helper()
	root := t.TempDir()
	dir, err := vfs.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	s, err := cas.New(dir, cas.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s, root
}

// keep stages a content of some size and gives its bytes, hash and outboard.
func keep(t *testing.T, s *cas.Store, size int) (content []byte, h digest.Hash, outboard []byte) {
	t.Helper()
	content = bytes.Repeat([]byte{byte(size), 2, 3, 4, 5, 6, 7}, size/7+1)[:size]
	outboard, h, err := digest.EncodeOutboard(bytes.NewReader(content), int64(size))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StageProvable(t.Context(), bytes.NewReader(content), h); err != nil {
		t.Fatal(err)
	}
	return content, h, outboard
}

func TestOutboardsComeAndGoWithTheirObjects(t *testing.T) {
	s, root := provable(t)
	_, h, want := keep(t, s, 3<<20+5)
	path := filepath.Join(root, cas.OutboardPath(h))
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("beside the object: %d bytes, %v", len(got), err)
	}
	if got, err := s.Outboard(h, 3<<20+5, false); err != nil || !bytes.Equal(got, want) {
		t.Errorf("asked for: %d bytes, %v", len(got), err)
	}
	for name, spoil := range map[string]func() error{
		"missing":   func() error { return os.Remove(path) },
		"truncated": func() error { return os.Truncate(path, 100) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Outboard(h, 3<<20+5, false); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, and not made again: %v", name, err)
		}
	}
	wrong := bytes.Clone(want)
	wrong[50] ^= 1
	if err := os.WriteFile(path, wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Outboard(h, 3<<20+5, true); err != nil || !bytes.Equal(got, want) {
		t.Errorf("wrong, and a fresh one asked for: %v", err)
	}
	s.Unpin(h)
	if gone, err := s.Remove(h, func() (bool, error) { return false, nil }); err != nil || !gone {
		t.Fatal(gone, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after its object: %v", err)
	}
}

func TestSmallObjectsHaveNoOutboardOnDisk(t *testing.T) {
	s, root := provable(t)
	_, h, want := keep(t, s, 1<<20)
	if got, err := s.Outboard(h, 1<<20, false); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := os.Stat(filepath.Join(root, cas.OutboardPath(h))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("on disk: %v", err)
	}
}

func TestNoOutboardOfADamagedObject(t *testing.T) {
	s, root := provable(t)
	content, h, _ := keep(t, s, 2<<20)
	content[77] ^= 1
	if err := os.WriteFile(filepath.Join(root, cas.Path(h)), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Outboard(h, 2<<20, true); !errors.Is(err, cas.ErrDamaged) {
		t.Errorf("a flipped bit: %v", err)
	}
	if err := os.Remove(filepath.Join(root, cas.Path(h))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Outboard(h, 2<<20, true); !errors.Is(err, cas.ErrMissing) {
		t.Errorf("no file: %v", err)
	}
}

// TestAnOutboardDoesNotOutliveItsObject has objects that are moved aside, and an outboard that was written
// while its object went.
func TestAnOutboardDoesNotOutliveItsObject(t *testing.T) {
	s, root := provable(t)
	gone := func(h digest.Hash) bool {
		_, err := os.Stat(filepath.Join(root, cas.OutboardPath(h)))
		return errors.Is(err, os.ErrNotExist)
	}
	unneeded := func(digest.Hash) (bool, error) { return false, nil }
	_, moved, _ := keep(t, s, 2<<20)
	s.Unpin(moved)
	if all, err := s.MoveAll([]digest.Hash{moved}, "trash/1", unneeded); err != nil || len(all) != 1 || !gone(moved) {
		t.Errorf("moved %v, %v; its outboard is gone: %v", all, err, gone(moved))
	}
	_, here, _ := keep(t, s, 3<<20)
	_, left, outboard := keep(t, s, 4<<20)
	s.Unpin(left)
	if err := os.Remove(filepath.Join(root, cas.Path(left))); err != nil {
		t.Fatal(err)
	}
	written := time.Now()
	if err := os.Chtimes(filepath.Join(root, cas.OutboardPath(left)), written, written); err != nil {
		t.Fatal(err)
	}
	if found, err := s.ClearOutboards(t.Context(), written, true); err != nil || found != (cas.Leaked{Young: 1}) || gone(left) {
		t.Errorf("too young: %+v, %v", found, err)
	}
	want := cas.Leaked{Files: 1, Bytes: int64(len(outboard))}
	for _, remove := range []bool{false, true} {
		if found, err := s.ClearOutboards(t.Context(), written.Add(time.Second), remove); err != nil || found != want || gone(left) != remove {
			t.Errorf("remove %v: %+v, %v", remove, found, err)
		}
	}
	if gone(here) {
		t.Error("an outboard went whose object is here")
	}
}

// narrow is a disk on which only so much is free.
type narrow struct {
	vfs.FS
	free uint64
}

func (n *narrow) Free() (uint64, error) { return n.free, nil }

func TestAnOutboardLeavesTheSpaceThatStaysFree(t *testing.T) {
	dir, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	disk := &narrow{dir, 1 << 30}
	s, err := cas.New(disk, cas.Config{MinFree: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	_, h, outboard := keep(t, s, 2<<20)
	if err := disk.Remove(cas.OutboardPath(h)); err != nil {
		t.Fatal(err)
	}
	for free, want := range map[uint64]bool{1<<20 + uint64(len(outboard)) - 1: false, 1<<20 + uint64(len(outboard)): true} {
		_ = disk.Remove(cas.OutboardPath(h))
		disk.free = free
		if got, err := s.Outboard(h, 2<<20, true); err != nil || !bytes.Equal(got, outboard) {
			t.Errorf("with %d free: %v", free, err)
		}
		if _, err := disk.Stat(cas.OutboardPath(h)); (err == nil) != want {
			t.Errorf("with %d free it was written: %v", free, err == nil)
		}
	}
}
