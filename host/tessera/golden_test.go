package tessera

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
)

var update = flag.Bool("update", false, "write the golden files and the examples of FORMAT.md anew")

// golden compares bytes with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the format has changed: %d bytes, want %d", name, len(got), len(want))
	}
}

func TestGoldenExample(t *testing.T) {
	list, files := example()
	m := seal(t, list, "Letters & greetings")
	golden(t, "example.tessera", m.Bytes())
	golden(t, "example.tar", pack(t, m, files))
	tomb, err := SignTombstone(m.ID(), date("2026-12-31T23:59:59Z"), newOwner(0))
	must(t, err)
	golden(t, "example.tomb", tomb.Bytes())
}

func TestGoldenNames(t *testing.T) {
	list, files := oddNames()
	m := seal(t, list, "\x00 100% \xff ü\n")
	golden(t, "names.tessera", m.Bytes())
	golden(t, "names.tar", pack(t, m, files))
}

// TestGoldenFilesReadBack reads the golden files as a stranger would.
func TestGoldenFilesReadBack(t *testing.T) {
	for _, name := range []string{"example", "names"} {
		b, err := os.ReadFile("testdata/" + name + ".tessera")
		must(t, err)
		m, err := ParseManifest(b)
		must(t, err)
		must(t, m.Verify())
		packed, err := os.ReadFile("testdata/" + name + ".tar")
		must(t, err)
		got, err := unpack(t.Context(), packed)
		must(t, err)
		if !reflect.DeepEqual(got.manifest, m) || !reflect.DeepEqual(got.entries, m.Entries) {
			t.Errorf("%s.tar does not give %s.tessera", name, name)
		}
		if PackedSize(m) != int64(len(packed)) {
			t.Errorf("%s: PackedSize %d, want %d", name, PackedSize(m), len(packed))
		}
	}
}

// TestTarIsStandard reads the packed tar with a reader that knows nothing of us.
func TestTarIsStandard(t *testing.T) {
	list, files := oddNames()
	m := seal(t, list, "")
	r := tar.NewReader(bytes.NewReader(pack(t, m, files)))
	for _, d := range m.documents() {
		h, err := r.Next()
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		if h.Name != d.name || !bytes.Equal(content, d.content) || h.ModTime.Unix() != 0 {
			t.Errorf("%s: got %q of %v", d.name, h.Name, h.ModTime)
		}
	}
	for _, e := range m.Entries {
		h, err := r.Next()
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		name, mode := "files/"+e.Path, int64(0o644)
		if e.Folder {
			name, mode = name+"/", 0o755
		} else if string(content) != files[e.Hash] {
			t.Errorf("%q: wrong content", e.Path)
		}
		if h.Name != name || h.Mode != mode || h.ModTime.Unix() != e.ModTime.Unix() {
			t.Errorf("%q: got %q, mode %o, time %v", e.Path, h.Name, h.Mode, h.ModTime)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// TestPlainHeaderIsUSTAR compares plain headers with those of another writer.
func TestPlainHeaderIsUSTAR(t *testing.T) {
	for _, h := range []tarHeader{
		{name: "head.txt", size: 4096, mtime: date("1970-01-01T00:00:00Z")},
		{name: "files/" + strings.Repeat("h", 94), size: MaxBytes, mtime: date("2242-03-16T12:56:31Z")},
		{name: "files/a folder/", mtime: date("2020-01-01T00:00:00Z")},
	} {
		var b bytes.Buffer
		theirs := &tar.Header{Typeflag: tar.TypeReg, Name: h.name, Mode: 0o644, Size: h.size, ModTime: h.mtime}
		if strings.HasSuffix(h.name, "/") {
			theirs.Typeflag, theirs.Mode = tar.TypeDir, 0o755
		}
		must(t, tar.NewWriter(&b).WriteHeader(theirs))
		if got := h.append(nil); !bytes.Equal(got, b.Bytes()) {
			t.Errorf("%s:\n%s\nwant\n%s", h.name, hex.Dump(got), hex.Dump(b.Bytes()))
		}
	}
}

// TestFormatDocument checks that the examples of FORMAT.md are the golden files, and its table ours.
func TestFormatDocument(t *testing.T) {
	manifest, tomb, packed := readGolden(t, "example.tessera"), readGolden(t, "example.tomb"), readGolden(t, "example.tar")
	m, err := ParseManifest(manifest)
	must(t, err)
	before, err := os.ReadFile("FORMAT.md")
	must(t, err)
	doc := string(before)
	doc = setBlock(t, doc, "example.tessera", string(manifest))
	doc = setBlock(t, doc, "example.tomb", string(tomb))
	doc = setBlock(t, doc, "example.tar", contents(t, packed))
	at := bytes.Index(packed, []byte("names/0"))
	doc = setBlock(t, doc, "hexdump", dump(packed, at, at+3*blockSize))
	doc = setBlock(t, doc, "numbers", fmt.Sprintf(
		"id of the tessera        %s\nexample.tessera          %d bytes\nexample.tar              %d bytes\nBLAKE3 of example.tar    %s\n",
		m.ID(), len(manifest), len(packed), digest.Of(packed)))
	doc = setBlock(t, doc, "media types", mediaTable())
	if *update {
		must(t, os.WriteFile("FORMAT.md", []byte(doc), 0o644))
	} else if doc != string(before) {
		t.Error("FORMAT.md does not show what the code does: run go test -update and look at the difference")
	}
}

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	return b
}

// setBlock puts content into the fenced block after a marker.
func setBlock(t *testing.T, doc, marker, content string) string {
	t.Helper()
	before, rest, found := strings.Cut(doc, "<!-- "+marker+" -->\n```\n")
	_, after, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("FORMAT.md has no block %q", marker)
	}
	return before + "<!-- " + marker + " -->\n```\n" + content + "```\n" + after
}

// contents lists the blocks of a tar: offset, length, what it is.
func contents(t *testing.T, packed []byte) string {
	t.Helper()
	var out strings.Builder
	line := func(at, n int64, what string) { fmt.Fprintf(&out, "%6d %5d  %s\n", at, n, what) }
	at := int64(0)
	for packed[at] != 0 {
		name, _, _ := strings.Cut(string(packed[at:at+100]), "\x00")
		size, ok := parseOctal(packed[at+124 : at+135])
		if !ok {
			t.Fatal("not a header")
		}
		line(at, blockSize, fmt.Sprintf("header, type %c, name %s, size %d", packed[at+156], name, size))
		at += blockSize
		if size > 0 {
			line(at, size, "content")
			at += size
		}
		if n := padding(size); n > 0 {
			line(at, n, "zeros")
			at += n
		}
	}
	line(at, int64(len(packed))-at, "zeros")
	return out.String()
}

// dump is what hexdump -C prints.
func dump(b []byte, from, to int) string {
	var out strings.Builder
	last, starred := "", false
	for at := from; at < to; at += 16 {
		row := hex.Dump(b[at : at+16])[8:]
		if row == last {
			if !starred {
				out.WriteString("*\n")
			}
			starred = true
			continue
		}
		fmt.Fprintf(&out, "%08x%s", at, row)
		last, starred = row, false
	}
	return out.String()
}

func mediaTable() string {
	var out strings.Builder
	for _, row := range mediaTypes {
		fmt.Fprintf(&out, "%-9s %s\n", row[0], row[1])
	}
	return out.String()
}
