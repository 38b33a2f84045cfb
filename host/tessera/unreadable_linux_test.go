package tessera

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// asNobody runs f without the power to read everything, which root would have.
func asNobody(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the identity is the thread's
		defer runtime.UnlockOSThread()
		if os.Geteuid() == 0 {
			before, _ := unix.SetfsuidRetUid(nobody)
			defer unix.SetfsuidRetUid(before)
		}
		f()
	}()
	<-done
}

// TestScanNamesAllUnreadable also wants them among the special ones, and not skipped with them.
func TestScanNamesAllUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/secret", "b/file", "c/file", "fine"} {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	must(t, os.Symlink("x", filepath.Join(dir, "link")))
	must(t, os.Chmod(filepath.Join(dir, "a/secret"), 0o200))
	must(t, os.Chmod(filepath.Join(dir, "b"), 0o300)) // cannot be listed
	must(t, os.Chmod(filepath.Join(dir, "c"), 0o644)) // can be listed, not entered
	if os.Geteuid() == 0 {
		must(t, os.Chmod(filepath.Join(dir, "c"), 0o604))
	}
	t.Cleanup(func() {
		os.Chmod(filepath.Join(dir, "b"), 0o755)
		os.Chmod(filepath.Join(dir, "c"), 0o755)
	})
	root := openRoot(t, dir)
	for _, skip := range []bool{false, true} {
		var err error
		asNobody(func() { _, err = Scan(t.Context(), root, ScanOptions{SkipSpecial: skip}) })
		want := []Problem{
			{Path: "a/secret", Kind: Unreadable, Err: unix.EACCES},
			{Path: "b", Kind: Unreadable, Err: unix.EACCES},
			{Path: "c", Kind: Unreadable, Err: unix.EACCES},
		}
		if !skip {
			want = append(want, Problem{Path: "link", Kind: Symlink})
		}
		var all *ScanError
		if !errors.As(err, &all) || !reflect.DeepEqual(all.Problems, want) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	}
}

// TestUnreadableLater has a file that could be read when it was scanned.
func TestUnreadableLater(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	root := openRoot(t, dir)
	found, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)
	must(t, os.Chmod(path, 0o200))
	asNobody(func() { _, err = stream(t, root, found.Entries) })
	var at *FileError
	if !errors.As(err, &at) || at.Path != "file" || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
