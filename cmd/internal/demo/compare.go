package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// compare tells the first difference between two folders, "" where they are identical: the same
// names, the same folders, the same bytes. Special files of the original were left out on purpose.
func compare(original, copied string) (string, error) {
	want, err := tree(original)
	if err != nil {
		return "", err
	}
	got, err := tree(copied)
	if err != nil {
		return "", err
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		folder, ok := got[path]
		switch {
		case !ok:
			return fmt.Sprintf("%q is missing", path), nil
		case folder != want[path]:
			return fmt.Sprintf("%q is a file in one and a folder in the other", path), nil
		case folder:
			continue
		}
		same, err := sameBytes(filepath.Join(original, path), filepath.Join(copied, path))
		if err != nil {
			return "", err
		}
		if !same {
			return fmt.Sprintf("%q has other bytes", path), nil
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			return fmt.Sprintf("%q was not in the original", path), nil
		}
	}
	return "", nil
}

// tree maps every regular file and folder below root to whether it is a folder.
func tree(root string) (map[string]bool, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if rel != "." && (d.IsDir() || d.Type().IsRegular()) {
			found[rel] = d.IsDir()
		}
		return err
	})
	return found, err
}

func sameBytes(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		na, errA := io.ReadFull(fa, bufA)
		nb, errB := io.ReadFull(fb, bufB)
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			return false, nil
		}
		if ended(errA) || ended(errB) {
			return ended(errA) && ended(errB), nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return false, err
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
