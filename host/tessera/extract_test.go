package tessera

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

func TestUnpackToMakesTheFolder(t *testing.T) {
	list, files := keepable()
	m := seal(t, list, "title")
	packed := pack(t, m, files)
	src := t.TempDir()
	writeTree(t, src, list, files)
	there := filepath.Join(t.TempDir(), "empty")
	must(t, os.Mkdir(there, 0o710))
	link := filepath.Join(t.TempDir(), "link")
	target := t.TempDir()
	must(t, os.Symlink(target, link))
	for _, dest := range []string{
		filepath.Join(t.TempDir(), "missing"), filepath.Join(t.TempDir(), "a", "b", "missing"), there, link,
		filepath.Join(t.TempDir(), strings.Repeat("n", 255)), filepath.Join(t.TempDir(), "slash") + "/",
	} {
		got, err := UnpackTo(t.Context(), bytes.NewReader(packed), dest, UnpackOptions{ID: m.ID()})
		must(t, err)
		if !reflect.DeepEqual(got, m) {
			t.Error("another manifest")
		}
		sameTree(t, readTree(t, dest), readTree(t, src))
		found, err := Scan(t.Context(), openRoot(t, dest), ScanOptions{})
		must(t, err)
		for i, e := range found.Entries {
			if !e.ModTime.Equal(list[i].ModTime) {
				t.Errorf("%q: time %v, want %v", e.Path, e.ModTime, list[i].ModTime)
			}
		}
		onlyChild(t, filepath.Dir(filepath.Clean(dest)))
	}
	if info, err := os.Stat(there); err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("the mode of the folder is now %v", info.Mode())
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is now %v", info.Mode())
	}
}

// onlyChild checks that nothing was left beside what dir has one of.
func onlyChild(t *testing.T, dir string) {
	t.Helper()
	children, err := os.ReadDir(dir)
	must(t, err)
	if len(children) != 1 {
		t.Errorf("%s has %v", dir, children)
	}
}

func TestUnpackToRefusesDestinations(t *testing.T) {
	list, files := example()
	packed := pack(t, seal(t, list, ""), files)
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	must(t, os.MkdirAll(filepath.Join(full, "x"), 0o777))
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o666))
	dangling := filepath.Join(dir, "dangling")
	must(t, os.Symlink("nowhere", dangling))
	here := filepath.Join(dir, "here")
	must(t, os.Mkdir(here, 0o777))
	t.Chdir(here)
	before := readTree(t, full)
	for _, dest := range []string{full, file, dangling, ".", here, "/", ""} {
		_, err := UnpackTo(t.Context(), bytes.NewReader(packed), dest, UnpackOptions{})
		wantError(t, err, ErrDestination)
	}
	sameTree(t, readTree(t, full), before)
	if children, err := os.ReadDir(dir); err != nil || len(children) != 4 {
		t.Errorf("left behind: %v", children)
	}
	if _, err := UnpackTo(t.Context(), bytes.NewReader(packed), filepath.Join(file, "below"), UnpackOptions{}); err == nil {
		t.Error("a folder below a file")
	}
}

// spoil calls do when the stream is at its end.
type spoil struct {
	io.Reader
	do func()
}

func (s *spoil) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF && s.do != nil {
		s.do()
		s.do = nil
	}
	return n, err
}

// TestDestinationTakenMeanwhile has someone else write to the destination while we do.
func TestDestinationTakenMeanwhile(t *testing.T) {
	list, files := example()
	packed := pack(t, seal(t, list, ""), files)
	for name, take := range map[string]func(dest string) error{
		"file":   func(dest string) error { return os.WriteFile(dest, nil, 0o666) },
		"folder": func(dest string) error { return os.MkdirAll(filepath.Join(dest, "theirs"), 0o777) },
	} {
		dir := t.TempDir()
		dest := filepath.Join(dir, "dest")
		r := &spoil{bytes.NewReader(packed), func() { must(t, take(dest)) }}
		_, err := UnpackTo(t.Context(), r, dest, UnpackOptions{})
		wantError(t, err, ErrDestination)
		onlyChild(t, dir)
		if _, err := os.Stat(filepath.Join(dest, "later")); err == nil {
			t.Errorf("%s: overwritten", name)
		}
	}
}

// TestNothingIsLeftBehind has failures of all kinds.
func TestNothingIsLeftBehind(t *testing.T) {
	list, files := example()
	m := seal(t, list, "")
	packed := pack(t, m, files)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	damaged := bytes.Replace(packed, []byte("Dear you,"), []byte("Dear You,"), 1)
	for name, c := range map[string]struct {
		ctx  context.Context
		b    []byte
		id   sdk.TesseraID
		want error
	}{
		"damaged":  {t.Context(), damaged, m.ID(), digest.ErrMismatch},
		"cut":      {t.Context(), packed[:len(packed)-1], m.ID(), ErrIncomplete},
		"another":  {t.Context(), packed, sdk.TesseraID{1}, ErrOtherTessera},
		"canceled": {canceled, packed, m.ID(), context.Canceled},
	} {
		dir := t.TempDir()
		_, err := UnpackTo(c.ctx, bytes.NewReader(c.b), filepath.Join(dir, "dest"), UnpackOptions{ID: c.id, Documents: true})
		wantError(t, err, c.want)
		if children, err := os.ReadDir(dir); err != nil || len(children) != 0 {
			t.Errorf("%s left %v", name, children)
		}
	}
}

// TestCollision has a file system that takes two names for one: the second is there already.
func TestCollision(t *testing.T) {
	files := memories{}
	for name, c := range map[string]struct {
		list  FileList
		taken string // a name of the tessera that is another's here
	}{
		"file":          {FileList{files.file("FILE", "1", "2020-01-01T00:00:00Z")}, "FILE"},
		"file below":    {FileList{files.file("A/FILE", "1", "2020-01-01T00:00:00Z")}, "A"},
		"empty folder":  {FileList{emptyFolder("DIR", "2020-01-01T00:00:00Z")}, "DIR"},
		"deeper folder": {FileList{files.file("a/b", "1", "2020-01-01T00:00:00Z"), files.file("c/D/e", "2", "2020-01-01T00:00:00Z")}, "c"},
	} {
		dir := t.TempDir()
		packed := pack(t, seal(t, c.list, ""), files)
		must(t, os.MkdirAll(filepath.Join(dir, c.taken, "theirs"), 0o777))
		sink := &tree{root: openRoot(t, dir)}
		err := Unpack(t.Context(), bytes.NewReader(packed), sink)
		sink.closeFolder()
		wantError(t, err, ErrCollision)
		if !errors.As(err, new(*FileError)) {
			t.Errorf("%s: %v names no entry", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, c.taken, "theirs")); err != nil {
			t.Errorf("%s: overwritten: %v", name, err)
		}
	}
}

func TestDocumentsName(t *testing.T) {
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{nil, "_tessera"},
		{[]string{"a", "b/_tessera", "_tesser", "_tessera.txt"}, "_tessera"},
		{[]string{"_tessera"}, "_tessera-1"},
		{[]string{"_TESSERA/x", "_tessera-1/y"}, "_tessera-2"},
		{[]string{"_Tessera", "_tessera-2"}, "_tessera-1"},
	} {
		var list FileList
		for _, p := range c.paths {
			list = append(list, Entry{Path: p})
		}
		if got := documentsName(list); got != c.want {
			t.Errorf("%q: got %s, want %s", c.paths, got, c.want)
		}
	}
}

// TestHowToDecodeIsTrue checks an export the way the text beside it says, and with nothing of this
// package.
func TestHowToDecodeIsTrue(t *testing.T) {
	list, files := keepable()
	list = append(list, files.file("_tessera", "mine", "2020-01-01T00:00:00Z"))
	list.Sort()
	m := seal(t, list, "title")
	dest := filepath.Join(t.TempDir(), "export")
	_, err := UnpackTo(t.Context(), bytes.NewReader(pack(t, m, files)), dest, UnpackOptions{Documents: true})
	must(t, err)
	tree := readTree(t, dest)
	document := func(name string) string { return tree["_tessera-1/"+name] }
	if document("HOW-TO-DECODE.txt") != HowToDecode() {
		t.Error("the text is not there")
	}
	head, lines := document("head.txt"), map[string]string{}
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		lines[key] = value
	}
	key := unhex(t, strings.TrimPrefix(lines["owner"], "ed25519 "))
	signature := strings.TrimPrefix(strings.TrimSuffix(document("signature.txt"), "\n"), "signature: ed25519 ")
	if !ed25519.Verify(key, []byte(head), unhex(t, signature)) {
		t.Error("the signature is not of head.txt")
	}
	listRef := strings.Fields(lines["list"])
	if listRef[1] != digest.Of([]byte(document("files.txt"))).String() {
		t.Error("the list is not the one the head names")
	}
	counted := 0
	for i, line := range strings.Split(strings.TrimSuffix(document("files.txt"), "\n"), "\n") {
		part := strings.Split(line, " ")
		switch {
		case i == 0 && line == "tesseras files 1":
		case part[0] == "file":
			counted++
			if content, there := tree[decoded(t, part[5])]; !there || digest.Of([]byte(content)).String() != part[1] {
				t.Errorf("%s is wrong", line)
			}
		case part[0] == "folder":
			if _, there := tree[decoded(t, part[5])+"/"]; !there {
				t.Errorf("%s is wrong", line)
			}
		default:
			t.Errorf("unknown line %q", line)
		}
	}
	if counted == 0 || counted != m.Head.Files {
		t.Errorf("%d files", counted)
	}
	for i, line := range strings.Split(HowToDecode(), "\n") {
		if len(line) > 80 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("line %d of the text is not for every screen", i+1)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

func decoded(t *testing.T, s string) string {
	t.Helper()
	var out []byte
	for len(s) > 0 {
		if s[0] == '%' {
			out, s = append(out, unhex(t, s[1:3])...), s[3:]
			continue
		}
		out, s = append(out, s[0]), s[1:]
	}
	return string(out)
}
