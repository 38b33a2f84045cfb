package cas_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

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
