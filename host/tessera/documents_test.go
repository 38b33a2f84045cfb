package tessera

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

func TestSealIsReproducible(t *testing.T) {
	list, _ := oddNames()
	shuffled := append(FileList{}, list[7:]...)
	shuffled = append(shuffled, list[:7]...)
	for i := range shuffled {
		shuffled[i].ModTime = shuffled[i].ModTime.In(time.FixedZone("", 3600))
	}
	a, b := seal(t, list, "same"), seal(t, shuffled, "same")
	if !bytes.Equal(a.Bytes(), b.Bytes()) || a.ID() != b.ID() || !reflect.DeepEqual(a, b) {
		t.Error("the same input gave other documents")
	}
	if shuffled[0].Path != list[7].Path {
		t.Error("Seal changed its argument")
	}
	if c := seal(t, list, "other"); c.ID() == a.ID() || !bytes.Equal(c.ListBytes, a.ListBytes) {
		t.Error("another title gave another list or the same id")
	}
}

func TestSealRefuses(t *testing.T) {
	good := Entry{Path: "a", Hash: digest.Of(nil), ModTime: created}
	with := func(change func(*Entry)) FileList {
		e := good
		change(&e)
		return FileList{e}
	}
	for name, c := range map[string]struct {
		list  FileList
		title string
	}{
		"no hash":       {list: with(func(e *Entry) { e.Hash = digest.Hash{} })},
		"path":          {list: with(func(e *Entry) { e.Path = "../a" })},
		"negative size": {list: with(func(e *Entry) { e.Size = -1 })},
		"too large":     {list: with(func(e *Entry) { e.Size = MaxBytes + 1 })},
		"year 10000":    {list: with(func(e *Entry) { e.ModTime = time.Unix(1<<40, 0) })},
		"media type":    {list: with(func(e *Entry) { e.MediaType = "text/plain; charset=x" })},
		"twice":         {list: FileList{good, good}},
		"file below":    {list: FileList{good, with(func(e *Entry) { e.Path = "a/b" })[0]}},
		"title":         {list: FileList{good}, title: strings.Repeat("t", MaxTitle+1)},
	} {
		if m, err := Seal(c.list, c.title, created, newOwner(0)); err == nil || m != nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := Seal(nil, "", time.Unix(1<<40, 0), newOwner(0)); err == nil {
		t.Error("sealed in the year 36812")
	}
}

func TestLargestHeadFits(t *testing.T) {
	h := Head{
		Title: strings.Repeat("\xff", MaxTitle), Created: date("9999-12-31T23:59:59.999999999Z"),
		Files: MaxFiles, Folders: MaxFolders, Bytes: MaxBytes, ListSize: MaxList,
	}
	b := h.Encode()
	if len(b) > MaxHead {
		t.Fatalf("a head may have %d bytes", len(b))
	}
	got, err := ParseHead(b)
	must(t, err)
	if got != h {
		t.Errorf("got %+v", got)
	}
}

func TestLimitsOfAList(t *testing.T) {
	list := make(FileList, MaxFiles+1)
	for i := range list {
		list[i] = Entry{Path: fmt.Sprintf("%06d", i), Hash: digest.Of(nil), ModTime: created, MediaType: "a/b"}
	}
	full := list[:MaxFiles]
	got, err := ParseFileList(full.Encode())
	must(t, err)
	if !reflect.DeepEqual(got, full) {
		t.Error("a full list does not read back")
	}
	wantLimit(t, list.Check(), "files", MaxFiles+1, MaxFiles)
	_, err = ParseFileList(list.Encode())
	wantLimit(t, err, "files", MaxFiles+1, MaxFiles)

	for i := range list {
		list[i] = Entry{Path: list[i].Path, Folder: true, ModTime: created}
	}
	wantLimit(t, list.Check(), "empty folders", MaxFolders+1, MaxFolders)

	two := FileList{{Path: "a", Size: MaxBytes, MediaType: "a/b"}, {Path: "b", Size: 1, MediaType: "a/b"}}
	wantLimit(t, two.Check(), "bytes of files", MaxBytes+1, MaxBytes)
	must(t, two[:1].Check())

	_, err = ParseFileList(make([]byte, MaxList+1))
	wantLimit(t, err, "bytes of file list", MaxList+1, MaxList)
	_, err = ParseManifest(make([]byte, maxManifest+1))
	wantLimit(t, err, "bytes of manifest", maxManifest+1, maxManifest)
}

func wantLimit(t *testing.T, err error, what string, actual, limit int64) {
	t.Helper()
	var l *LimitError
	if !errors.As(err, &l) || *l != (LimitError{What: what, Actual: actual, Limit: limit}) {
		t.Errorf("got %v, want %d %s of %d", err, actual, what, limit)
		return
	}
	if !strings.Contains(l.Error(), fmt.Sprint(actual)) || !strings.Contains(l.Error(), fmt.Sprint(limit)) || l.Hint() == "" {
		t.Errorf("%v does not say how much", l)
	}
}

func TestManifestReadsBack(t *testing.T) {
	list, _ := oddNames()
	m := seal(t, list, "\nodd\xff title% ")
	got, err := ParseManifest(m.Bytes())
	must(t, err)
	must(t, got.Verify())
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v", got.Head)
	}
	if h, err := VerifyHead(m.HeadBytes, m.Signature); err != nil || h != m.Head || h.ID() != m.ID() {
		t.Errorf("head: %v", err)
	}
}

// TestEveryByteOfAManifestCounts changes each byte, and cuts at each.
func TestEveryByteOfAManifestCounts(t *testing.T) {
	list, _ := example()
	whole := seal(t, list, "title").Bytes()
	check := func(b []byte) error {
		m, err := ParseManifest(b)
		if err != nil {
			return err
		}
		return m.Verify()
	}
	must(t, check(whole))
	for i := range whole {
		for _, bit := range []byte{1, 2, 0x20, 0x80} {
			b := bytes.Clone(whole)
			b[i] ^= bit
			if check(b) == nil {
				t.Errorf("byte %d ^ %#x goes unnoticed", i, bit)
			}
		}
		if check(whole[:i]) == nil {
			t.Errorf("cut at %d goes unnoticed", i)
		}
	}
	if check(append(bytes.Clone(whole), '\n')) == nil {
		t.Error("a newline at the end goes unnoticed")
	}
}

// TestVerifyOfForgeries has documents that are well-formed, but not what the owner signed.
func TestVerifyOfForgeries(t *testing.T) {
	list, files := example()
	m := seal(t, list, "title")
	forge := func(change func(*Manifest)) error {
		f := *m
		change(&f)
		return f.Verify()
	}
	sign := func(f *Manifest) {
		f.HeadBytes = f.Head.Encode()
		f.Signature = newOwner(0).Sign(f.HeadBytes)
	}
	wantError(t, forge(func(f *Manifest) { f.Signature = newOwner(1).Sign(f.HeadBytes) }), ErrSignature)
	wantError(t, forge(func(f *Manifest) { f.Signature = nil }), ErrSignature)
	wantError(t, forge(func(f *Manifest) { f.Head.Title = "another" }), ErrFormat)
	wantError(t, forge(func(f *Manifest) { f.Head.Title = "another"; f.HeadBytes = f.Head.Encode() }), ErrSignature)
	wantError(t, forge(func(f *Manifest) { f.Head.Files++; sign(f) }), ErrFormat)
	wantError(t, forge(func(f *Manifest) { f.Head.Bytes--; sign(f) }), ErrFormat)
	wantError(t, forge(func(f *Manifest) { f.Head.ListSize++; sign(f) }), digest.ErrMismatch)
	wantError(t, forge(func(f *Manifest) {
		other := seal(t, FileList{files.file("x", "x", "2020-01-01T00:00:00Z")}, "")
		f.ListBytes, f.Entries = other.ListBytes, other.Entries
	}), digest.ErrMismatch)
}

func TestTombstone(t *testing.T) {
	owner, id := newOwner(0), sdk.TesseraID{1, 2, 3}
	tomb, err := SignTombstone(id, created.In(time.FixedZone("", 60)), owner)
	must(t, err)
	got, err := ParseTombstone(tomb.Bytes())
	must(t, err)
	must(t, got.Verify(owner.Key()))
	if !reflect.DeepEqual(got, tomb) || got.Tessera != id || !got.Deleted.Equal(created) {
		t.Errorf("got %+v", got)
	}

	stranger, err := SignTombstone(id, created, newOwner(9))
	must(t, err)
	wantError(t, stranger.Verify(owner.Key()), ErrSignature)
	stranger.Owner = owner.Key()
	wantError(t, stranger.Verify(owner.Key()), ErrSignature)

	whole := tomb.Bytes()
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		if got, err := ParseTombstone(b); err == nil && got.Verify(owner.Key()) == nil {
			t.Errorf("byte %d goes unnoticed", i)
		}
		if _, err := ParseTombstone(whole[:i]); err == nil {
			t.Errorf("cut at %d goes unnoticed", i)
		}
	}
	_, err = ParseTombstone(make([]byte, maxTombstone+1))
	wantError(t, err, ErrFormat)
	if _, err := SignTombstone(id, time.Unix(1<<40, 0), owner); err == nil {
		t.Error("signed in the year 36812")
	}
}

func TestMediaType(t *testing.T) {
	for path, want := range map[string]string{
		"a.jpg": "image/jpeg", "b/A.JPG": "image/jpeg", "x.tar.gz": "application/gzip",
		"a": unknownMedia, "": unknownMedia, ".jpg": unknownMedia, "a.jpg/b": unknownMedia,
		"a.": unknownMedia, "a.K": unknownMedia, "a.jpg ": unknownMedia, "d.x/.bashrc": unknownMedia,
	} {
		if got := MediaType(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
	for i, row := range mediaTypes {
		if MediaType("x."+row[0]) != row[1] || !validMediaType(row[1]) {
			t.Errorf("%s: got %s, want %s", row[0], MediaType("x."+row[0]), row[1])
		}
		if i > 0 && mediaTypes[i-1][0] >= row[0] {
			t.Errorf("%s is not in its place", row[0])
		}
	}
}

// TestListReadsBack draws lists at random.
func TestListReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := anyList(t)
		if err := list.Check(); err != nil {
			t.Fatal(err)
		}
		b := list.Encode()
		if int64(len(b)) != list.encodedSize() {
			t.Errorf("encodedSize %d, want %d", list.encodedSize(), len(b))
		}
		got, err := ParseFileList(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+len(list) > 0 && !reflect.DeepEqual(got, list) {
			t.Errorf("got %+v, want %+v", got, list)
		}
	})
}

// anyList draws a valid list. Names are of few letters, so that folders meet, and of any byte.
func anyList(t *rapid.T) FileList {
	name := rapid.OneOf(
		rapid.StringMatching(`[a-c.]{1,3}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 20), func(b []byte) string { return string(b) }),
	)
	path := rapid.Map(rapid.SliceOfN(name, 1, 4), func(names []string) string { return strings.Join(names, "/") })
	when := rapid.Map(rapid.Int64Range(-62167219200, 253402300799), func(s int64) time.Time { return time.Unix(s, 0) })
	var list FileList
	for _, p := range rapid.SliceOfN(path, 0, 30).Draw(t, "paths") {
		e := Entry{Path: p, ModTime: when.Draw(t, "time").Add(time.Duration(rapid.IntRange(0, 1e9-1).Draw(t, "ns"))).UTC()}
		e.Folder = rapid.Bool().Draw(t, "folder")
		if !e.Folder {
			e.Hash = digest.Of([]byte(p))
			e.Size = rapid.Int64Range(0, 1<<20).Draw(t, "size")
			e.MediaType = MediaType(p)
		}
		with := append(append(FileList{}, list...), e)
		with.Sort()
		if with.Check() == nil {
			list = with
		}
	}
	return list
}

// TestParsersAllocateLittle gives each parser the input that asks for the most.
func TestParsersAllocateLittle(t *testing.T) {
	var many, deep strings.Builder
	for _, b := range []*strings.Builder{&many, &deep} {
		b.WriteString(listHeader)
	}
	for i := range 20_000 {
		fmt.Fprintf(&many, "folder - - 0000-01-01T00:00:00Z - %05d\n", i)
	}
	for i := range 250 {
		fmt.Fprintf(&deep, "folder - - 0000-01-01T00:00:00Z - %s\n", strings.Repeat("%FF", i+1))
	}
	inputs := map[string][]byte{
		"short lines":      []byte(many.String()),
		"prefixes":         []byte(deep.String()),
		"newlines":         append([]byte(listHeader), bytes.Repeat([]byte{'\n'}, 1<<20)...),
		"promised lines":   append([]byte(listHeader), bytes.Repeat([]byte("folder \n"), 1<<17)...),
		"no newline":       bytes.Repeat([]byte{'f'}, 1<<20),
		"one long path":    []byte(listHeader + "folder - - 0000-01-01T00:00:00Z - " + strings.Repeat("%FF", 1<<18) + "\n"),
		"a list with head": seal(t, FileList{emptyFolder("a", "2020-01-01T00:00:00Z")}, strings.Repeat("%", MaxTitle)).Bytes(),
	}
	for name, b := range inputs {
		for kind, parse := range parsers {
			if got, most := allocated(func() { _ = parse(b) }), uint64(4*len(b)+64<<10); got > most {
				t.Errorf("%s of %s: allocated %d bytes for %d", kind, name, got, len(b))
			}
		}
	}
}

var parsers = map[string]func([]byte) error{
	"head":      func(b []byte) error { _, err := ParseHead(b); return err },
	"file list": func(b []byte) error { _, err := ParseFileList(b); return err },
	"manifest":  func(b []byte) error { _, err := ParseManifest(b); return err },
	"tombstone": func(b []byte) error { _, err := ParseTombstone(b); return err },
	"commit":    func(b []byte) error { _, err := parseCommit(b); return err },
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
