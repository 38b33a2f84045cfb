package tessera

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/host/digest"
)

func stream(t *testing.T, root *os.Root, entries FileList) ([]byte, error) {
	t.Helper()
	var b bytes.Buffer
	err := WriteFolder(t.Context(), &b, root, "title", entries)
	return b.Bytes(), err
}

// receive does what a node does: it hashes, and seals only a whole stream.
func receive(ctx context.Context, r io.Reader) (FileList, string, error) {
	var list FileList
	title, err := ReadFolder(ctx, r, func(e Entry, body io.Reader) error {
		if !e.Folder {
			h := digest.New()
			if _, err := io.Copy(h, body); err != nil {
				return err
			}
			e.Hash = h.Sum()
		}
		list = append(list, e)
		return nil
	})
	return list, title, err
}

func TestFolderArrives(t *testing.T) {
	dir := t.TempDir()
	list, files := keepable()
	writeTree(t, dir, list, files)
	root := openRoot(t, dir)
	found, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)
	var b bytes.Buffer
	must(t, WriteFolder(t.Context(), &b, root, "a\ntitle \xff", found.Entries))
	got, title, err := receive(t.Context(), &b)
	must(t, err)
	for i := range list {
		if !list[i].Folder {
			list[i].MediaType = MediaType(list[i].Path)
		}
	}
	if title != "a\ntitle \xff" || !reflect.DeepEqual(got, list) {
		t.Errorf("%q: got %v\nwant %v", title, got, list)
	}
}

// TestTimesArrive has the times that no file system here may be able to keep.
func TestTimesArrive(t *testing.T) {
	for _, when := range []string{
		"0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000001Z", "1601-01-01T00:00:00Z", "1969-12-31T23:59:58.999999999Z",
		"1969-12-31T23:59:59Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.1Z", "2242-03-16T12:56:31.9Z",
		"2242-03-16T12:56:32Z", "2300-01-01T00:00:00.1Z", "9999-12-31T23:59:59.999999999Z",
	} {
		h := tarHeader{name: "files/f", mtime: date(when)}
		got, err := tar.NewReader(bytes.NewReader(h.append(nil))).Next()
		must(t, err)
		if !got.ModTime.Equal(h.mtime) || got.Name != h.name {
			t.Errorf("%s: got %v", when, got.ModTime.UTC())
		}
	}
}

// TestCutStreamIsNotWhole cuts a stream everywhere.
func TestCutStreamIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	list, files := example()
	writeTree(t, dir, list, files)
	root := openRoot(t, dir)
	found, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)
	b, err := stream(t, root, found.Entries)
	must(t, err)
	// The last entry's content and padding, and the end mark, may be missing without harm.
	body := bytes.LastIndex(b, []byte("tesseras folder 1"))
	end := body + bytes.IndexByte(b[body:], 0)
	for i := range end {
		_, _, err := receive(t.Context(), bytes.NewReader(b[:i]))
		if !errors.Is(err, ErrIncomplete) && !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d of %d: %v", i, len(b), err)
		}
	}
	failing := errors.New("the line is dead")
	_, _, err = receive(t.Context(), io.MultiReader(bytes.NewReader(b[:end-1]), errReader{failing}))
	wantError(t, err, failing)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// onWrite calls do at the first write.
type onWrite struct {
	bytes.Buffer
	do func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Buffer.Write(p)
}

// TestChangesAreNoticed changes a folder between its scan and its end, before or while it is read.
func TestChangesAreNoticed(t *testing.T) {
	const large = 4 * bufferSize
	path := func(dir, name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		during bool // while "large" is read; else before
		change func(t *testing.T, dir string)
		path   string
	}{
		"gone":        {false, func(t *testing.T, d string) { must(t, os.Remove(path(d, "large"))) }, "large"},
		"folder gone": {false, func(t *testing.T, d string) { must(t, os.RemoveAll(path(d, "sub"))) }, "sub/small"},
		"empty gone":  {false, func(t *testing.T, d string) { must(t, os.Remove(path(d, "empty"))) }, "empty"},
		"no longer empty": {false, func(t *testing.T, d string) {
			must(t, os.WriteFile(path(d, "empty/new"), nil, 0o666))
			must(t, os.Chtimes(path(d, "empty"), later, later))
		}, "empty"},
		"folder now file": {false, func(t *testing.T, d string) {
			must(t, os.RemoveAll(path(d, "sub")))
			must(t, os.WriteFile(path(d, "sub"), nil, 0o666))
		}, "sub/small"},
		"file now folder": {false, func(t *testing.T, d string) {
			must(t, os.Remove(path(d, "large")))
			must(t, os.Mkdir(path(d, "large"), 0o777))
		}, "large"},
		"file now link": {false, func(t *testing.T, d string) {
			must(t, os.Rename(path(d, "large"), path(d, "elsewhere")))
			must(t, os.Symlink("elsewhere", path(d, "large")))
		}, "large"},
		"file now pipe": {false, func(t *testing.T, d string) {
			must(t, os.Remove(path(d, "large")))
			must(t, unix.Mkfifo(path(d, "large"), 0o666))
		}, "large"},
		"touched": {false, func(t *testing.T, d string) { must(t, os.Chtimes(path(d, "large"), later, later)) }, "large"},
		"grown":   {false, func(t *testing.T, d string) { must(t, os.Truncate(path(d, "large"), large+1)) }, "large"},
		"shrunk":  {false, func(t *testing.T, d string) { must(t, os.Truncate(path(d, "large"), large-1)) }, "large"},

		"grown while read":     {true, func(t *testing.T, d string) { must(t, os.Truncate(path(d, "large"), large+1)) }, "large"},
		"shrunk while read":    {true, func(t *testing.T, d string) { must(t, os.Truncate(path(d, "large"), bufferSize+5)) }, "large"},
		"touched while read":   {true, func(t *testing.T, d string) { must(t, os.Chtimes(path(d, "large"), later, later)) }, "large"},
		"next gone while read": {true, func(t *testing.T, d string) { must(t, os.Remove(path(d, "sub/small"))) }, "sub/small"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(path(dir, "large"), make([]byte, large), 0o666))
			must(t, os.MkdirAll(path(dir, "sub"), 0o777))
			must(t, os.Mkdir(path(dir, "empty"), 0o777))
			must(t, os.WriteFile(path(dir, "sub/small"), []byte("small"), 0o666))
			root := openRoot(t, dir)
			found, err := Scan(t.Context(), root, ScanOptions{})
			must(t, err)
			w := onWrite{}
			if c.during {
				w.do = func() { c.change(t, dir) }
			} else {
				c.change(t, dir)
			}
			err = WriteFolder(t.Context(), &w, root, "", found.Entries)
			var changed *ChangedError
			if !errors.As(err, &changed) || changed.Path != c.path || changed.What == "" || changed.Hint() == "" {
				t.Errorf("got %v", err)
			}
			_, _, err = receive(t.Context(), &w.Buffer)
			wantError(t, err, ErrIncomplete)
		})
	}
}

func TestAnotherFileInItsPlace(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "b"), nil, 0o666))
	a, err := os.Lstat(filepath.Join(dir, "a"))
	must(t, err)
	b, err := os.Open(filepath.Join(dir, "b"))
	must(t, err)
	defer b.Close()
	if err := sameFile(Entry{Path: "a", ModTime: a.ModTime()}, b, a); err == nil {
		t.Error("not noticed")
	}
}

func TestWriteFolderFails(t *testing.T) {
	dir := t.TempDir()
	list, files := example()
	writeTree(t, dir, list, files)
	root := openRoot(t, dir)
	found, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)

	full := errors.New("nobody listens")
	wantError(t, WriteFolder(t.Context(), failingWriter{full}, root, "", found.Entries), full)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, WriteFolder(ctx, io.Discard, root, "", found.Entries), context.Canceled)

	wantLimit(t, WriteFolder(t.Context(), io.Discard, root, strings.Repeat("t", MaxTitle+1), nil), titleBytes, MaxTitle+1, MaxTitle)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// hostile is a folder stream made by hand.
type hostile struct {
	t *testing.T
	b bytes.Buffer
	w *tar.Writer
}

func newHostile(t *testing.T) *hostile {
	h := &hostile{t: t}
	h.w = tar.NewWriter(&h.b)
	return h
}

func (h *hostile) entry(kind byte, name, content string) *hostile {
	h.t.Helper()
	head := &tar.Header{Typeflag: kind, Name: name, Size: int64(len(content)), Mode: 0o644, ModTime: created}
	if kind == tar.TypeSymlink || kind == tar.TypeLink {
		head.Linkname = "/etc/passwd"
	}
	must(h.t, h.w.WriteHeader(head))
	_, err := io.WriteString(h.w, content)
	must(h.t, err)
	return h
}

func (h *hostile) file(name string) *hostile { return h.entry(tar.TypeReg, "files/"+name, "x") }

func (h *hostile) commit(files, folders int, size int64) *hostile {
	return h.entry(tar.TypeReg, commitName, string(commit{files: files, folders: folders, bytes: size}.encode()))
}

func (h *hostile) receive() error {
	must(h.t, h.w.Close())
	_, _, err := receive(h.t.Context(), &h.b)
	return err
}

func TestReadFolderRefuses(t *testing.T) {
	must(t, newHostile(t).file("a").file("b").entry(tar.TypeDir, "files/c/", "").commit(2, 1, 2).receive())

	for _, name := range []string{
		"/a", "..", "../a", "a/../b", "./a", "a//b", "a/.", strings.Repeat("n", 256), strings.Repeat("n/", 2048) + "n",
	} {
		wantError(t, newHostile(t).file(name).commit(1, 0, 1).receive(), ErrFormat)
	}
	for name, h := range map[string]*hostile{
		"outside of files/":   newHostile(t).entry(tar.TypeReg, "a", "x"),
		"absolute":            newHostile(t).entry(tar.TypeReg, "/etc/passwd", "x"),
		"commit by a folder":  newHostile(t).entry(tar.TypeDir, commitName+"/", ""),
		"no name":             newHostile(t).entry(tar.TypeDir, "files/", ""),
		"twice":               newHostile(t).file("a").file("a"),
		"order":               newHostile(t).file("b").file("a"),
		"below a file":        newHostile(t).file("a").file("a.b").file("a/b"),
		"below an empty one":  newHostile(t).entry(tar.TypeDir, "files/a/", "").file("a/b"),
		"symbolic link":       newHostile(t).entry(tar.TypeSymlink, "files/a", ""),
		"hard link":           newHostile(t).entry(tar.TypeLink, "files/a", ""),
		"device":              newHostile(t).entry(tar.TypeChar, "files/a", ""),
		"pipe":                newHostile(t).entry(tar.TypeFifo, "files/a", ""),
		"more after commit":   newHostile(t).file("a").commit(1, 0, 1).file("b"),
		"two commits":         newHostile(t).file("a").commit(1, 0, 1).commit(1, 0, 1),
		"commit of a link":    newHostile(t).entry(tar.TypeSymlink, commitName, ""),
		"commit with junk":    newHostile(t).entry(tar.TypeReg, commitName, "tesseras folder 1\n"),
		"commit out of bound": newHostile(t).entry(tar.TypeReg, commitName, strings.Repeat("x", maxCommit+1)),
	} {
		if err := h.receive(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, h := range map[string]*hostile{
		"no commit":    newHostile(t).file("a"),
		"nothing":      newHostile(t),
		"fewer files":  newHostile(t).file("a").commit(2, 0, 1),
		"fewer bytes":  newHostile(t).file("a").commit(1, 0, 2),
		"more folders": newHostile(t).entry(tar.TypeDir, "files/a/", "").commit(0, 0, 0),
	} {
		if err := h.receive(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadFolderRefusesForeignRecords(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: "files/a", ModTime: created,
		PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"},
	}))
	must(t, w.Close())
	_, _, err := receive(t.Context(), &b)
	wantError(t, err, ErrFormat)
}

// TestReadFolderKeepsLimits promises more bytes than a tessera holds, in two files; nothing is sent.
func TestReadFolderKeepsLimits(t *testing.T) {
	for _, size := range []int64{MaxBytes + 1, 1 << 40} {
		h := tarHeader{name: "files/a", size: min(size, 1<<33-1), mtime: created}
		_, _, err := receive(t.Context(), bytes.NewReader(h.append(nil)))
		wantLimit(t, err, fileBytes, h.size, MaxBytes)
	}
}

func TestReadFolderPassesErrorsOn(t *testing.T) {
	h := newHostile(t).file("a").commit(1, 0, 1)
	full := errors.New("disk full")
	_, err := ReadFolder(t.Context(), &h.b, func(Entry, io.Reader) error { return full })
	wantError(t, err, full)
	var at *FileError
	if !errors.As(err, &at) || at.Path != "a" {
		t.Errorf("%v does not name the file", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h = newHostile(t).file("a").commit(1, 0, 1)
	_, err = ReadFolder(ctx, &h.b, func(_ Entry, body io.Reader) error {
		cancel()
		_, err := io.ReadAll(body)
		return err
	})
	wantError(t, err, context.Canceled)
}

// TestManyFilesInAFolder goes all the way with 20,000 files: scan, stream, seal, pack, unpack. Putting
// them back into a folder is left to the benchmark, for disks are slow to make so many files.
func TestManyFilesInAFolder(t *testing.T) {
	const many = 20_000
	dir := t.TempDir()
	root := openRoot(t, dir)
	must(t, root.WriteFile("00000.txt", []byte("one file under many names is quick to make\n"), 0o666))
	for i := 1; i < many; i++ {
		must(t, root.Link("00000.txt", fmt.Sprintf("%05d.txt", i)))
	}
	found, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)
	r, w := io.Pipe()
	go func() { w.CloseWithError(WriteFolder(t.Context(), w, root, "many", found.Entries)) }()
	list, title, err := receive(t.Context(), r)
	must(t, err)
	m := seal(t, list, title)
	if m.Head.Files != many {
		t.Errorf("%d files", m.Head.Files)
	}
	r, w = io.Pipe()
	go func() {
		w.CloseWithError(Pack(t.Context(), w, m, func(e Entry) (io.ReadCloser, error) { return root.Open(e.Path) }))
	}()
	back := &collect{}
	must(t, Unpack(t.Context(), r, back))
	if !reflect.DeepEqual(back.entries, m.Entries) {
		t.Error("it came back another")
	}
}
