package tessera

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// seeds gives each golden file of a kind to the fuzzer.
func seeds(f *testing.F, pattern string, part func([]byte) []byte) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds %s: %v", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(part(b))
	}
}

func whole(b []byte) []byte { return b }

func parsed(part func(*Manifest) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		m, err := ParseManifest(b)
		if err != nil {
			panic(err)
		}
		return part(m)
	}
}

// oneOf checks that a refusal is one that callers can tell.
func oneOf(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) && !errors.As(err, new(*LimitError)) {
		t.Errorf("a refusal of no kind: %v", err)
	}
}

func FuzzParseHead(f *testing.F) {
	seeds(f, "*.tessera", parsed(func(m *Manifest) []byte { return m.HeadBytes }))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b)
		if err != nil {
			oneOf(t, err)
			return
		}
		if !bytes.Equal(h.Encode(), b) {
			t.Errorf("encodes as %q", h.Encode())
		}
	})
}

func FuzzParseFileList(f *testing.F) {
	seeds(f, "*.tessera", parsed(func(m *Manifest) []byte { return m.ListBytes }))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseFileList(b)
		if err != nil {
			oneOf(t, err)
			return
		}
		if !bytes.Equal(list.Encode(), b) || list.Check() != nil {
			t.Errorf("encodes as %q", list.Encode())
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	seeds(f, "*.tessera", whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			oneOf(t, err)
			return
		}
		if !bytes.Equal(m.Bytes(), b) {
			t.Errorf("encodes as %q", m.Bytes())
		}
		if m.Verify() == nil && PackedSize(m) < m.Head.Bytes {
			t.Error("packed into nothing")
		}
	})
}

func FuzzParseTombstone(f *testing.F) {
	seeds(f, "*.tomb", whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		tomb, err := ParseTombstone(b)
		if err != nil {
			oneOf(t, err)
			return
		}
		if !bytes.Equal(tomb.Bytes(), b) {
			t.Errorf("encodes as %q", tomb.Bytes())
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add(commit{title: "a title\n", files: 3, folders: 2, bytes: 1}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCommit(b)
		if err != nil {
			oneOf(t, err)
			return
		}
		if !bytes.Equal(c.encode(), b) {
			t.Errorf("encodes as %q", c.encode())
		}
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add([]byte("a%20b%FF%25"))
	f.Add([]byte("%2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := unescape(b); err == nil && !bytes.Equal(appendEscaped(nil, s), b) {
			t.Errorf("%q is a second spelling of %q", b, s)
		}
		if s, err := unescape(appendEscaped(nil, string(b))); err != nil || s != string(b) {
			t.Errorf("got %q, %v", s, err)
		}
	})
}

// FuzzUnpack also wants what is accepted to be what Pack writes.
func FuzzUnpack(f *testing.F) {
	seeds(f, "*.tar", whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := unpack(t.Context(), b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		err = Pack(t.Context(), &again, c.manifest, func(e Entry) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader([]byte(c.content[e.Path]))), nil
		})
		if err != nil || !bytes.Equal(again.Bytes(), b) || !reflect.DeepEqual(c.entries, c.manifest.Entries) {
			t.Errorf("accepted what Pack would not write: %v", err)
		}
	})
}

// FuzzReadFolder wants that what is accepted can be sealed.
func FuzzReadFolder(f *testing.F) {
	var b bytes.Buffer
	w := newTarWriter(&b)
	for i, name := range []string{"files/a", "files/b\xff", "files/c/"} {
		if err := w.header(tarHeader{name: name, mtime: created, index: i}); err != nil {
			f.Fatal(err)
		}
	}
	if err := errors.Join(w.document(f.Context(), commitName, commit{files: 2, folders: 1}.encode()), w.end()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, title, err := receive(t.Context(), bytes.NewReader(b))
		if err != nil {
			return
		}
		if _, err := Seal(list, title, created, newOwner(0)); err != nil {
			t.Errorf("accepted, but %v", err)
		}
	})
}
