package tessera

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// testOwner is an owner with a known key.
type testOwner struct{ key ed25519.PrivateKey }

func newOwner(first byte) testOwner {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = first + byte(i)
	}
	return testOwner{ed25519.NewKeyFromSeed(seed)}
}

func (o testOwner) Key() sdk.OwnerKey          { return sdk.OwnerKey(o.key.Public().(ed25519.PublicKey)) }
func (o testOwner) Sign(message []byte) []byte { return ed25519.Sign(o.key, message) }

func date(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

var created = date("2026-01-02T03:04:05.000000006Z")

// memories are contents by their hash.
type memories map[digest.Hash]string

func (m memories) open(e Entry) (io.ReadCloser, error) {
	content, found := m[e.Hash]
	if !found {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

// file is an entry of content, which memories then has.
func (m memories) file(path, content, modified string) Entry {
	h := digest.Of([]byte(content))
	m[h] = content
	return Entry{Path: path, Hash: h, Size: int64(len(content)), ModTime: date(modified)}
}

func emptyFolder(path, modified string) Entry {
	return Entry{Path: path, Folder: true, ModTime: date(modified)}
}

func seal(t testing.TB, list FileList, title string) *Manifest {
	t.Helper()
	m, err := Seal(list, title, created, newOwner(0))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func pack(t testing.TB, m *Manifest, files memories) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(t.Context(), &b, m, files.open); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// example is the worked example of FORMAT.md.
func example() (FileList, memories) {
	m := memories{}
	return FileList{
		m.file("Grüße.txt", "Hallo!\n", "2024-02-29T12:00:00.5Z"),
		emptyFolder("later", "2001-09-09T01:46:40Z"),
		m.file("letters/1 May.txt", "Dear you,\n", "1994-05-01T18:30:00Z"),
	}, m
}

// oddNames has one entry for every oddity a name or time can have.
func oddNames() (FileList, memories) {
	m := memories{}
	list := FileList{
		m.file("-rf", "dash\n", "2020-01-01T00:00:00Z"),
		m.file(" ", "a space\n", "2020-01-01T00:00:00Z"),
		m.file("100%.txt", "percent\n", "2020-01-01T00:00:00Z"),
		m.file("line\nbreak", "newline\n", "2020-01-01T00:00:00Z"),
		m.file("\x01\x7f\t\\\"'", "controls\n", "2020-01-01T00:00:00Z"),
		m.file("caf\xc3\xa9", "NFC\n", "2020-01-01T00:00:00Z"),
		m.file("cafe\xcc\x81", "NFD\n", "2020-01-01T00:00:00Z"),
		m.file("latin\xff\xfe.JPG", "not UTF-8\n", "2020-01-01T00:00:00Z"),
		m.file(strings.Repeat("n", 255), "255\n", "2020-01-01T00:00:00Z"),
		m.file(strings.Repeat("ü", 127)+"x", "255 in UTF-8\n", "2020-01-01T00:00:00Z"),
		m.file(strings.Repeat("h", 94), "a header name of exactly 100\n", "2020-01-01T00:00:00Z"),
		m.file(strings.Repeat("i", 95), "a header name of 101\n", "2020-01-01T00:00:00Z"),
		m.file(strings.Repeat("deep/", 40)+"er", "deep\n", "2020-01-01T00:00:00Z"),
		m.file("a", "before a.txt and a0\n", "2020-01-01T00:00:00Z"),
		m.file("a.txt", "", "2020-01-01T00:00:00Z"),
		m.file("a0/b", strings.Repeat("x", 512), "2020-01-01T00:00:00Z"),
		m.file("a0/c", strings.Repeat("y", 513), "2020-01-01T00:00:00Z"),
		m.file("t/0", "0", "1970-01-01T00:00:00Z"),
		m.file("t/before", "-0.5", "1969-12-31T23:59:59.5Z"),
		m.file("t/far", "fits not in 11 octal digits", "2242-03-16T12:56:32Z"),
		m.file("t/windows", "0 there", "1601-01-01T00:00:00Z"),
		m.file("t/nano", "1 ns", "2020-01-01T00:00:00.000000001Z"),
		m.file("t/first", "year 0", "0000-01-01T00:00:00Z"),
		m.file("t/last", "year 9999", "9999-12-31T23:59:59.999999999Z"),
		emptyFolder("... ", "2020-01-01T00:00:00.25Z"),
		emptyFolder("e/"+strings.Repeat("ö", 60), "1960-01-01T00:00:00Z"),
	}
	list.Sort()
	return list, m
}

// writeTree makes a folder of a list, with the times that a file system can keep.
func writeTree(t testing.TB, dir string, list FileList, files memories) {
	t.Helper()
	for _, e := range list {
		path := filepath.Join(dir, e.Path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		if e.Folder {
			must(t, os.Mkdir(path, 0o777))
		} else {
			must(t, os.WriteFile(path, []byte(files[e.Hash]), 0o666))
		}
		must(t, os.Chtimes(path, e.ModTime, e.ModTime))
	}
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err is, or wraps, each of want.
func wantError(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("got error %v, want %v", err, w)
		}
	}
}

// readTree gives what is below dir: content by path, folders with a slash.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	dir, err := filepath.EvalSymlinks(dir)
	must(t, err)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel := path[len(dir)+1:]
		if d.IsDir() {
			tree[rel+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		tree[rel] = string(b)
		return err
	})
	must(t, err)
	return tree
}

func sameTree(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if content, found := got[path]; !found || content != want[path] {
			t.Errorf("%q: there %v, content right %v", path, found, content == want[path])
		}
	}
	for path := range got {
		if _, found := want[path]; !found {
			t.Errorf("%q is too much", path)
		}
	}
}

// collect is a Sink that keeps everything in memory.
type collect struct {
	manifest *Manifest
	entries  FileList
	content  map[string]string
}

func (c *collect) Manifest(m *Manifest) error {
	c.manifest, c.content = m, map[string]string{}
	return nil
}

func (c *collect) Folder(e Entry) error {
	c.entries = append(c.entries, e)
	return nil
}

func (c *collect) File(e Entry, r io.Reader) error {
	b, err := io.ReadAll(r)
	c.entries = append(c.entries, e)
	c.content[e.Path] = string(b)
	return err
}

func unpack(ctx context.Context, b []byte) (*collect, error) {
	c := &collect{}
	return c, Unpack(ctx, bytes.NewReader(b), c)
}
