package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

func openTemp(t *testing.T) (*Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := OpenDir(path)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, d *Dir, name, content string) {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	_, err = f.Write([]byte(content))
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func read(t *testing.T, d *Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return string(b)
}

func TestDir(t *testing.T) {
	d, path := openTemp(t)
	must(t, d.MkdirAll("a/b"))
	must(t, d.MkdirAll("a/b"))
	write(t, d, "a/b/one", "1")
	if _, err := d.Create("a/b/one"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	if _, err := d.Create("a/c/one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("create in no folder: %v", err)
	}
	if _, err := d.Open("a/b/two"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	write(t, d, "two", "2")
	must(t, d.Rename("two", "a/b/one"))
	if got := read(t, d, "a/b/one"); got != "2" {
		t.Errorf("after a rename over it: %q", got)
	}
	if err := d.Rename("two", "three"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of nothing: %v", err)
	}
	f, err := d.OpenAppend("a/b/one")
	must(t, err)
	_, err = f.Write([]byte("+"))
	must(t, err)
	must(t, f.Close())
	if got := read(t, d, "a/b/one"); got != "2+" {
		t.Errorf("after appending: %q", got)
	}
	must(t, d.SyncDir("a/b"))
	must(t, d.SyncDir("."))
	if err := d.SyncAll("a"); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("sync of everything: %v", err)
	}
	if err := d.SyncAll("nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sync of everything in no folder: %v", err)
	}
	info, err := os.Stat(filepath.Join(path, "a/b/one"))
	must(t, err)
	if info.Mode().Perm() != perm {
		t.Errorf("mode %v", info.Mode())
	}
	write(t, d, "a/b/0", "")
	entries, err := d.ReadDir("a/b")
	must(t, err)
	names := make([]string, 0, 2)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"0", "one"}) {
		t.Errorf("listed %q", names)
	}
	must(t, d.Remove("a/b/one"))
	if err := d.Remove("a/b/one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove of nothing: %v", err)
	}
	if free, err := d.Free(); err != nil || free == 0 {
		t.Errorf("free space %d, %v", free, err)
	}
}

// TestStartWriting: what was begun reads the same, and who cannot begin, or not here, is told so or left alone.
func TestStartWriting(t *testing.T) {
	d, _ := openTemp(t)
	f, err := d.Create("file")
	must(t, err)
	_, err = f.Write(make([]byte, 10_000))
	must(t, err)
	must(t, StartWriting(f, 0, 10_000))
	must(t, StartWriting(f, 20_000, 1))
	must(t, StartWriting(struct{ File }{f}, 0, 1)) // some other file
	must(t, f.Sync())
	must(t, f.Close())
	if err := StartWriting(f, 0, 1); err == nil && runtime.GOOS == "linux" {
		t.Error("of a closed file: no error")
	}
	if got := read(t, d, "file"); got != string(make([]byte, 10_000)) {
		t.Errorf("%d bytes", len(got))
	}
}

// TestNoNameLeadsOut tries names and symbolic links that point out of the folder.
func TestNoNameLeadsOut(t *testing.T) {
	d, path := openTemp(t)
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(path, "link")))
	must(t, os.Symlink(secret, filepath.Join(path, "file")))
	up, err := filepath.Rel(path, secret)
	must(t, err)
	must(t, os.Symlink(up, filepath.Join(path, "relative")))
	write(t, d, "mine", "mine")

	for _, name := range []string{"link/secret", "file", "relative", up, secret, "../x", "a/../mine", "", "/mine", "./mine", "mine/"} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("opened %q", name)
		}
		if f, err := d.OpenAppend(name); err == nil {
			f.Close()
			t.Errorf("opened %q for writing", name)
		}
		if err := d.Rename("mine", name); err == nil && name != "file" && name != "relative" {
			t.Errorf("renamed to %q", name)
		} else if err == nil {
			must(t, d.Rename(name, "mine")) // it replaced the link itself
		}
	}
	if f, err := d.Create("link/new"); err == nil {
		f.Close()
		t.Error("created outside")
	}
	if err := d.Rename("link/secret", "stolen"); err == nil {
		t.Error("moved in from outside")
	}
	got, err := os.ReadFile(secret)
	must(t, err)
	if string(got) != "secret" {
		t.Errorf("outside changed to %q", got)
	}
}
