package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, fsys vfs.FS, name, content string, sync bool) {
	t.Helper()
	file, err := fsys.Create(name)
	must(t, err)
	_, err = file.Write([]byte(content))
	must(t, err)
	if sync {
		must(t, file.Sync())
	}
	must(t, file.Close())
}

// tree describes all that a disk holds.
func tree(t testing.TB, f *FS) string {
	t.Helper()
	var out []string
	for _, name := range f.Files() {
		content, err := f.Content(name)
		must(t, err)
		out = append(out, name+"="+string(content))
	}
	return strings.Join(out, " ")
}

func TestWhatSurvives(t *testing.T) {
	f := New(Options{})
	must(t, f.MkdirAll("a"))
	must(t, f.SyncDir("."))
	put(t, f, "a/named", "synced", true)
	must(t, f.SyncDir("a"))
	put(t, f, "a/nameless", "synced", true)
	put(t, f, "a/dirty", "unsynced", false)
	file, err := f.OpenAppend("a/named")
	must(t, err)
	_, err = file.Write([]byte(" and more"))
	must(t, err)
	for _, c := range []struct {
		keep Keep
		want string
	}{
		{Nothing(), "a/named=synced"},
		{Everything(), "a/dirty=unsynced a/named=synced and more a/nameless=synced"},
	} {
		if got := tree(t, f.Crash(c.keep)); got != c.want {
			t.Errorf("left is %q, want %q", got, c.want)
		}
	}
	must(t, f.SyncDir("a"))
	if got, want := tree(t, f.Crash(Nothing())), "a/dirty= a/named=synced a/nameless=synced"; got != want {
		t.Errorf("left is %q, want %q", got, want)
	}
	must(t, f.Remove("a/named"))
	if got := tree(t, f.Crash(Nothing())); !strings.Contains(got, "a/named=synced") {
		t.Errorf("a removal was durable too early: %q", got)
	}
}

// TestHalfIsEveryMixture finds every outcome of a rename and an append that nobody synced.
func TestHalfIsEveryMixture(t *testing.T) {
	f := New(Options{})
	must(t, f.MkdirAll("a"))
	must(t, f.MkdirAll("b"))
	must(t, f.SyncDir("."))
	put(t, f, "a/x", "old", true)
	must(t, f.SyncDir("a"))
	must(t, f.Rename("a/x", "b/x"))
	file, err := f.OpenAppend("b/x")
	must(t, err)
	_, err = file.Write([]byte("+new"))
	must(t, err)
	seen := map[string]bool{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		seen[tree(t, f.Crash(Half(rnd)))] = true
	}
	for _, content := range []string{"old", "old+new", "old\x00\x00\x00\x00"} {
		for _, want := range []string{"a/x=" + content, "b/x=" + content, "a/x=" + content + " b/x=" + content, ""} {
			if !seen[want] {
				t.Errorf("never left: %q", want)
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d outcomes: %v", len(seen), seen)
	}
}

func TestAFailedSyncIsFinal(t *testing.T) {
	f := New(Options{})
	put(t, f, "x", "lost", false)
	must(t, f.SyncDir("."))
	file, err := f.Open("x")
	must(t, err)
	f.FailAt(1, syscall.EIO)
	if err := file.Sync(); !errors.Is(err, syscall.EIO) || f.Failed() != "sync x" {
		t.Fatalf("%v, %s", err, f.Failed())
	}
	must(t, file.Sync())
	if got := tree(t, f.Crash(Nothing())); got != "x=" {
		t.Errorf("left is %q", got)
	}
}

func TestFullDisk(t *testing.T) {
	f := New(Options{Size: 10})
	file, err := f.Create("x")
	must(t, err)
	if n, err := file.Write([]byte("0123456789ab")); n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%d %v", n, err)
	}
	must(t, f.Remove("x"))
	if free, _ := f.Free(); free != 0 {
		t.Errorf("%d bytes free while the file is open", free)
	}
	must(t, file.Close())
	if free, _ := f.Free(); free != 10 {
		t.Errorf("%d bytes free", free)
	}
}

func TestFAT(t *testing.T) {
	f := New(Options{FAT: true})
	put(t, f, "Name", "1", true)
	if _, err := f.Create("nAME"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("names that differ in case: %v", err)
	}
	if _, err := f.Create("a:b"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a colon: %v", err)
	}
	put(t, f, "other", "2", true)
	file, err := f.Open("NAME")
	must(t, err)
	if err := f.Rename("other", "name"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("rename over an open file: %v", err)
	}
	must(t, file.Close())
	must(t, f.Rename("other", "name"))
	if got := tree(t, f); got != "name=2" {
		t.Errorf("left is %q", got)
	}
}

// TestBehavesLikeARealFolder does the same at random to a file system in memory and to a real one.
func TestBehavesLikeARealFolder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := vfs.OpenDir(t.TempDir())
		must(t, err)
		defer dir.Close()
		memory := New(Options{})
		names := []string{"a", "b", "d/a", "d/b", "d/e/a", "d", "d/e"}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			act := action(rapid.IntRange(0, 9).Draw(rt, "action"), rapid.SampledFrom(names).Draw(rt, "name"),
				rapid.SampledFrom(names).Draw(rt, "other"), rapid.IntRange(0, 9).Draw(rt, "number"))
			real, fake := act(dir), act(memory)
			if real != fake {
				rt.Fatalf("a real folder gives %q, memory %q", real, fake)
			}
		}
	})
}

// action is something done to a file system, and what came of it.
func action(what int, name, other string, number int) func(vfs.FS) string {
	return func(fsys vfs.FS) string {
		var out string
		var err error
		switch what {
		case 0, 1:
			out, err = use(fsys.Create)(name, number)
		case 2:
			out, err = use(fsys.Open)(name, number)
		case 3:
			out, err = use(fsys.OpenAppend)(name, number)
		case 4:
			err = fsys.Rename(name, other)
		case 5:
			err = fsys.Remove(name)
		case 6:
			err = fsys.MkdirAll(name)
		case 7:
			var entries []fs.DirEntry
			entries, err = fsys.ReadDir(name)
			for _, e := range entries {
				info, _ := e.Info()
				out += fmt.Sprint(e.Name(), e.IsDir(), info.Mode(), " ")
			}
		case 8:
			var info fs.FileInfo
			if info, err = fsys.Stat(name); err == nil && !info.IsDir() {
				out = fmt.Sprint(info.Name(), info.Size())
			}
		case 9:
			if info, statErr := fsys.Stat(name); statErr != nil || info.IsDir() {
				err = fsys.SyncDir(name)
			}
		}
		return fmt.Sprint(what, name, other, out, class(err, what <= 1))
	}
}

// use opens a file and does something to it.
func use(open func(string) (vfs.File, error)) func(name string, number int) (string, error) {
	return func(name string, number int) (string, error) {
		f, err := open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || info.IsDir() {
			return "", syscall.EISDIR
		}
		_, writeErr := f.Write([]byte(strings.Repeat("w", number)))
		_, atErr := f.WriteAt([]byte("at"), int64(number))
		truncateErr := f.Truncate(int64(2 * number))
		at, err := f.Seek(-int64(number)/2, io.SeekEnd)
		tail, readErr := io.ReadAll(f)
		buf := make([]byte, 4)
		n, partErr := f.ReadAt(buf, int64(number)/2)
		return fmt.Sprintf("%v %v %v %d %v %q %v %q %v", writeErr == nil, atErr == nil, truncateErr == nil, at, err == nil, tail, readErr, buf[:n], partErr), nil
	}
}

// class is what callers decide on.
func class(err error, create bool) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case create && errors.Is(err, fs.ErrExist):
		return "exists"
	case err != nil:
		return "refused"
	}
	return "done"
}

func TestWatchSeesEveryChange(t *testing.T) {
	f := New(Options{})
	var calls []string
	f.Watch(func(m *Moment) {
		calls = append(calls, m.Call+" "+m.Name)
		m.Crash(Nothing())
	})
	must(t, f.MkdirAll("d"))
	put(t, f, "d/t", "x", true)
	must(t, f.Rename("d/t", "d/x"))
	must(t, f.SyncDir("d"))
	must(t, f.Remove("d/x"))
	want := []string{"mkdir d", "create d/t", "write d/t", "sync d/t", "rename d/x", "sync folder d", "remove d/x"}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
}
