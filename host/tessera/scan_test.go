package tessera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// keepable is oddNames with times that every file system can keep.
func keepable() (FileList, memories) {
	list, files := oddNames()
	for i := range list {
		if !strings.HasPrefix(list[i].Path, "t/") {
			list[i].ModTime = date("2020-02-02T20:20:20.123456789Z")
		}
	}
	list = slices.DeleteFunc(list, func(e Entry) bool {
		return e.ModTime.Year() < 1970 || e.ModTime.Year() > 2037
	})
	return list, files
}

// TestScanKeepsNames also wants the times and folders, in the order of the list.
func TestScanKeepsNames(t *testing.T) {
	dir := t.TempDir()
	list, files := keepable()
	writeTree(t, dir, list, files)
	got, err := Scan(t.Context(), openRoot(t, dir), ScanOptions{})
	must(t, err)
	if len(got.Skipped) != 0 {
		t.Errorf("skipped %v", got.Skipped)
	}
	want := slices.Clone(list)
	for i := range want {
		want[i].Hash = [32]byte{}
		if !want[i].Folder {
			want[i].MediaType = MediaType(want[i].Path)
		}
	}
	if !reflect.DeepEqual(got.Entries, want) {
		t.Errorf("got %v\nwant %v", got.Entries, want)
	}
	must(t, got.Entries.Check())
}

func TestScanOfNothing(t *testing.T) {
	got, err := Scan(t.Context(), openRoot(t, t.TempDir()), ScanOptions{})
	must(t, err)
	if len(got.Entries) != 0 {
		t.Errorf("got %v", got.Entries)
	}
}

// specials makes one of each special thing that needs no privilege, and an ordinary file.
func specials(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o666))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	must(t, os.Symlink("/etc", filepath.Join(dir, "sub", "out\nside")))
	must(t, unix.Mkfifo(filepath.Join(dir, "sub", "pipe"), 0o666))
	t.Chdir(dir) // the name of a socket must be short
	l, err := net.Listen("unix", "s")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return dir
}

var allSpecials = []Problem{
	{Path: "link", Kind: Symlink},
	{Path: "s", Kind: Socket},
	{Path: "sub/out\nside", Kind: Symlink},
	{Path: "sub/pipe", Kind: Pipe},
}

func TestScanNamesAllSpecialFiles(t *testing.T) {
	_, err := Scan(t.Context(), openRoot(t, specials(t)), ScanOptions{})
	var all *ScanError
	if !errors.As(err, &all) || !reflect.DeepEqual(all.Problems, allSpecials) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{`"link"`, `"s"`, `"sub/out\nside"`, `"sub/pipe"`} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if strings.Contains(err.Error(), "\n") || !strings.Contains(all.Hint(), "--skip-special") {
		t.Errorf("%v; %s", err, all.Hint())
	}
}

func TestScanSkipsSpecialFiles(t *testing.T) {
	got, err := Scan(t.Context(), openRoot(t, specials(t)), ScanOptions{SkipSpecial: true})
	must(t, err)
	if !reflect.DeepEqual(got.Skipped, allSpecials) {
		t.Errorf("skipped %v", got.Skipped)
	}
	if len(got.Entries) != 2 || got.Entries[0].Path != "file" || got.Entries[1].Path != "sub" || !got.Entries[1].Folder {
		t.Errorf("got %v", got.Entries)
	}
}

func TestKinds(t *testing.T) {
	for mode, want := range map[fs.FileMode]Kind{
		0o644:                               "",
		fs.ModeSymlink:                      Symlink,
		fs.ModeDevice:                       Device,
		fs.ModeDevice | fs.ModeCharDevice:   Device,
		fs.ModeSocket:                       Socket,
		fs.ModeNamedPipe:                    Pipe,
		fs.ModeIrregular:                    Irregular,
		fs.ModeSetuid | fs.ModeSticky | 0o7: "",
	} {
		if got := kindOf(mode); got != want || got.Special() != (want != "") {
			t.Errorf("%v: got %q, want %q", mode, got, want)
		}
	}
	for _, k := range []Kind{Unreadable, BadName, BadTime} {
		if k.Special() {
			t.Errorf("%s may not be skipped", k)
		}
	}
}

// TestScanCountsBeyondLimits has small limits; what counts is that it tells how much there is.
func TestScanCountsBeyondLimits(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), make([]byte, 100), 0o666))
		must(t, os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o777))
	}
	root := openRoot(t, dir)
	most := limits{files: 10, folders: 10, bytes: 1000, list: 10_000}
	if _, err := scan(t.Context(), root, ScanOptions{}, most); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		less limits
		want string
	}{
		{limits{files: 3, folders: 10, bytes: 1000, list: 10_000}, "10 files: a tessera holds at most 3"},
		{limits{files: 10, folders: 3, bytes: 1000, list: 10_000}, "10 empty folders: a tessera holds at most 3"},
		{limits{files: 10, folders: 10, bytes: 999, list: 10_000}, "1000 bytes of files: a tessera holds at most 999"},
		{limits{files: 10, folders: 10, bytes: 1000, list: 100}, "bytes of file list: a tessera holds at most 100"},
	} {
		_, err := scan(t.Context(), root, ScanOptions{}, c.less)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// TestScanRefusesOneByteTooMany uses a file without blocks: nothing of it is read.
func TestScanRefusesOneByteTooMany(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "large")
	must(t, os.WriteFile(path, nil, 0o666))
	must(t, os.Truncate(path, MaxBytes))
	_, err := Scan(t.Context(), openRoot(t, dir), ScanOptions{})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "small"), []byte("x"), 0o666))
	_, err = Scan(t.Context(), openRoot(t, dir), ScanOptions{})
	wantLimit(t, err, "bytes of files", MaxBytes+1, MaxBytes)
	if !strings.Contains(err.Error(), "1 GiB") {
		t.Error(err)
	}
}

func TestScanStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Scan(ctx, openRoot(t, t.TempDir()), ScanOptions{})
	wantError(t, err, context.Canceled)
}

// TestScanOfADeepFolder needs neither long paths nor many descriptors.
func TestScanOfADeepFolder(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir)
	deep := strings.TrimSuffix(strings.Repeat("d/", 200), "/")
	must(t, root.MkdirAll(deep, 0o777))
	got, err := Scan(t.Context(), root, ScanOptions{})
	must(t, err)
	if len(got.Entries) != 1 || got.Entries[0].Path != deep {
		t.Errorf("got %d entries", len(got.Entries))
	}
	must(t, root.MkdirAll(strings.Repeat(strings.Repeat("n", 255)+"/", 16)+"n", 0o777))
	_, err = Scan(t.Context(), root, ScanOptions{})
	var all *ScanError
	if !errors.As(err, &all) || len(all.Problems) != 1 || all.Problems[0].Kind != BadName {
		t.Errorf("got %.200v", err)
	}
}
