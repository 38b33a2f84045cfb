package tessera

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestStrictHead(t *testing.T) {
	list, _ := example()
	head := string(seal(t, list, "a title").HeadBytes)
	if _, err := ParseHead([]byte(head)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"head 1", "head 01"},
		{"head 1", "head"},
		{"head 1", "head +1"},
		{"tesseras", "Tesseras"},
		{"owner: ed25519 03a1", "owner: ed25519 03A1"},
		{"owner: ed25519 03", "owner: ed25519 "},
		{"title: ", "title:"},
		{"a%20title", "a title"},
		{"a%20title", "%61%20title"},
		{"a%20title", "%c3"},
		{"a%20title", "%2"},
		{"a%20title", "%"},
		{"a%20title", "%G0"},
		{"a%20title", "ü"},
		{"a%20title", strings.Repeat("a", MaxTitle+1)},
		{"05.000000006Z", "05.0000000060Z"},
		{"05.000000006Z", "05,000000006Z"},
		{"05.000000006Z", "05.0000000061Z"},
		{"05.000000006Z", "05.000000006+00:00"},
		{"05.000000006Z", "05.000000006z"},
		{"05.000000006Z", "60Z"},
		{"2026-01-02T", "2026-01-02t"},
		{"2026-01-02T", "2026-02-30T"},
		{"2026-01-02T", "12026-01-02T"},
		{"files: 2", "files: 02"},
		{"files: 2", "files: -0"},
		{"files: 2", "files: +2"},
		{"files: 2", "files: 2 "},
		{"files: 2", "files: "},
		{"files: 2", "files: 100001"},
		{"files: 2", "files: 99999999999999999999"},
		{"bytes: 17", "bytes: 1073741825"},
		{"bytes: 17", "bytes: -17"},
		{" 308\n", "\n"},
		{" 308\n", " 64000001\n"},
		{" 308\n", " 308 \n"},
		{"blake3", "sha256"},
		{"none\n", "none"},
		{"none\n", "none\n\n"},
		{"none\n", "none\r\n"},
		{"\n", "\r\n"},
		{"files: 2\nfolders: 1\n", "folders: 1\nfiles: 2\n"},
	} {
		b := strings.Replace(head, c[0], c[1], 1)
		if b == head {
			t.Fatalf("%q is not in the head", c[0])
		}
		h, err := ParseHead([]byte(b))
		if err == nil || h != (Head{}) {
			t.Errorf("%q for %q: accepted", c[1], c[0])
			continue
		}
		wantError(t, err, ErrFormat)
	}
	_, err := ParseHead(append([]byte(head), make([]byte, MaxHead)...))
	wantError(t, err, ErrFormat)
}

func TestLaterVersions(t *testing.T) {
	list, _ := example()
	m := seal(t, list, "")
	_, err := ParseHead(bytes.Replace(m.HeadBytes, []byte("head 1"), []byte("head 2"), 1))
	wantError(t, err, ErrVersion)
	_, err = ParseHead(bytes.Replace(m.HeadBytes, []byte("encryption: none"), []byte("encryption: age"), 1))
	wantError(t, err, ErrVersion)
	_, err = ParseFileList(bytes.Replace(m.ListBytes, []byte("files 1"), []byte("files 3"), 1))
	wantError(t, err, ErrVersion)
	if errors.Is(err, ErrFormat) {
		t.Error("a later version is not malformed")
	}
}

func TestStrictFileList(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	file := "file " + hash + " 5 2020-01-01T00:00:00Z text/plain b\n"
	folder := "folder - - 2020-01-01T00:00:00Z - c\n"
	good := listHeader + file + folder
	if _, err := ParseFileList([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if l, err := ParseFileList([]byte(listHeader)); err != nil || len(l) != 0 {
		t.Errorf("an empty list: %v", err)
	}
	other := func(path string) string { return strings.Replace(file, " b\n", " "+path+"\n", 1) }
	for _, b := range []string{
		"",
		"\n",
		"tesseras files 1",
		strings.TrimSuffix(good, "\n"),
		good + "\n",
		listHeader + folder + file,
		listHeader + file + file,
		listHeader + file + other("b/c"),
		listHeader + file + other("b.a") + other("b/c"),
		listHeader + other("b%00c"),
		listHeader + other("%2F"),
		listHeader + other("/b"),
		listHeader + other("b/"),
		listHeader + other("b//c"),
		listHeader + other("."),
		listHeader + other(".."),
		listHeader + other("b/../c"),
		listHeader + other("b/."),
		listHeader + other(""),
		listHeader + other("b c"),
		listHeader + other("b%0a"),
		listHeader + other(strings.Repeat("n", 256)),
		listHeader + other(strings.Repeat("n/", 2048)+"b"),
		strings.Replace(good, "file ", "File ", 1),
		strings.Replace(good, "file ", "file  ", 1),
		strings.Replace(good, "file ", "link ", 1),
		strings.Replace(good, " b\n", " b \n", 1),
		strings.Replace(good, " b\n", "\n", 1),
		strings.Replace(good, " 5 ", " 05 ", 1),
		strings.Replace(good, " 5 ", " -5 ", 1),
		strings.Replace(good, " 5 ", " - ", 1),
		strings.Replace(good, " 5 ", " 1073741825 ", 1),
		strings.Replace(good, "0a", "0A", 1),
		strings.Replace(good, "0a", "", 1),
		strings.Replace(good, "text/plain", "-", 1),
		strings.Replace(good, "text/plain", "text", 1),
		strings.Replace(good, "text/plain", "text/plain;q", 1),
		strings.Replace(good, "text/plain", "text/"+strings.Repeat("p", 128), 1),
		strings.Replace(good, "- c", "text/plain c", 1),
		strings.Replace(good, "folder - -", "folder - 0", 1),
		strings.Replace(good, "folder -", "folder "+hash, 1),
		strings.Replace(good, "00:00Z", "00:00.0Z", 1),
	} {
		if l, err := ParseFileList([]byte(b)); err == nil || l != nil {
			t.Errorf("accepted %.200q", b)
		} else if !errors.Is(err, ErrFormat) {
			t.Errorf("%.100q: %v", b, err)
		}
	}
}
