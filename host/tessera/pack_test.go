package tessera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/digest"
)

// TestPackedReadsBack also has readers that give little at a time, or an end with the last bytes.
func TestPackedReadsBack(t *testing.T) {
	list, files := oddNames()
	large := strings.Repeat("0123456789abcdef", bufferSize/8)
	for name, content := range map[string]string{
		"x/buffer": large[:bufferSize], "x/buffer-1": large[:bufferSize-1], "x/buffer+1": large[:bufferSize+1], "x/two": large,
	} {
		list = append(list, files.file(name, content, "2020-01-01T00:00:00Z"))
	}
	m := seal(t, list, "title")
	packed := pack(t, m, files)
	if PackedSize(m) != int64(len(packed)) {
		t.Errorf("PackedSize %d, want %d", PackedSize(m), len(packed))
	}
	for name, r := range map[string]io.Reader{
		"whole":    bytes.NewReader(packed),
		"bytewise": iotest.OneByteReader(bytes.NewReader(packed)),
		"half":     iotest.HalfReader(bytes.NewReader(packed)),
		"eof":      iotest.DataErrReader(bytes.NewReader(packed)),
	} {
		c := &collect{}
		must(t, Unpack(t.Context(), r, c))
		if !reflect.DeepEqual(c.manifest, m) || !reflect.DeepEqual(c.entries, m.Entries) {
			t.Errorf("%s: another manifest", name)
		}
		for _, e := range m.Entries {
			if !e.Folder && c.content[e.Path] != files[e.Hash] {
				t.Errorf("%s: %q has other content", name, e.Path)
			}
		}
	}
	stingy := func(e Entry) (io.ReadCloser, error) {
		return io.NopCloser(iotest.DataErrReader(iotest.HalfReader(strings.NewReader(files[e.Hash])))), nil
	}
	var again bytes.Buffer
	must(t, Pack(t.Context(), &again, m, stingy))
	if !bytes.Equal(again.Bytes(), packed) {
		t.Error("packing again gave other bytes")
	}
}

// TestPackedSizeIsTrue draws tesseras at random.
func TestPackedSizeIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list, files := anyList(rt), memories{}
		for i, e := range list {
			if !e.Folder {
				list[i] = files.file(e.Path, strings.Repeat("x", int(e.Size%3000)), e.ModTime.Format(time.RFC3339Nano))
			}
		}
		m := seal(t, list, "")
		packed := pack(t, m, files)
		if PackedSize(m) != int64(len(packed)) {
			rt.Errorf("PackedSize %d, want %d", PackedSize(m), len(packed))
		}
		if _, err := unpack(t.Context(), packed); err != nil {
			rt.Error(err)
		}
	})
}

type closeCounter struct {
	io.Reader
	closed *int
}

func (c closeCounter) Close() error { *c.closed++; return nil }

func TestPackRefusesDamage(t *testing.T) {
	list, files := example()
	m := seal(t, list, "")
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		content io.Reader
		want    error
	}{
		"flipped": {strings.NewReader("Dear You,\n"), digest.ErrMismatch},
		"short":   {strings.NewReader("Dear you,"), digest.ErrMismatch},
		"long":    {strings.NewReader("Dear you,\n\n"), digest.ErrMismatch},
		"empty":   {strings.NewReader(""), digest.ErrMismatch},
		"failing": {iotest.ErrReader(boom), boom},
		"failing at its end": {
			digest.NewReader(strings.NewReader("Dear you,\n"), digest.Of(nil), 10), digest.ErrMismatch,
		},
	} {
		closed := 0
		err := Pack(t.Context(), io.Discard, m, func(e Entry) (io.ReadCloser, error) {
			if e.Path != "letters/1 May.txt" {
				return files.open(e)
			}
			return closeCounter{c.content, &closed}, nil
		})
		var at *FileError
		if !errors.Is(err, c.want) || !errors.As(err, &at) || at.Path != "letters/1 May.txt" || closed != 1 {
			t.Errorf("%s: %v, closed %d times", name, err, closed)
		}
	}
	err := Pack(t.Context(), io.Discard, m, memories{}.open)
	wantError(t, err, fs.ErrNotExist)
	if at := (*FileError)(nil); !errors.As(err, &at) || at.Path != "Grüße.txt" {
		t.Errorf("%v does not name the file", err)
	}

	err = Pack(t.Context(), failingWriter{boom}, m, files.open)
	wantError(t, err, boom)
	if errors.As(err, new(*FileError)) {
		t.Errorf("%v blames a file", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, Pack(ctx, io.Discard, m, files.open), context.Canceled)

	forged := *m
	forged.Signature = newOwner(1).Sign(m.HeadBytes)
	wantError(t, Pack(t.Context(), io.Discard, &forged, files.open), ErrSignature)
}

// TestEveryByteOfThePackedCounts changes each byte, and cuts at many.
func TestEveryByteOfThePackedCounts(t *testing.T) {
	list, files := example()
	m := seal(t, list, "")
	packed := pack(t, m, files)
	for i := range packed {
		packed[i] ^= 1 << (i % 8)
		if _, err := unpack(t.Context(), packed); err == nil {
			t.Errorf("byte %d goes unnoticed", i)
		}
		packed[i] ^= 1 << (i % 8)
		if i%31 != 0 {
			continue
		}
		if _, err := unpack(t.Context(), packed[:i]); !errors.Is(err, ErrIncomplete) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	_, err := unpack(t.Context(), append(bytes.Clone(packed), 0))
	wantError(t, err, ErrFormat)
	_, err = unpack(t.Context(), packed)
	must(t, err)
}

// TestUnpackTellsWhatIsWrong has streams that another might have made with intent.
func TestUnpackTellsWhatIsWrong(t *testing.T) {
	list, files := example()
	m := seal(t, list, "")
	packed := pack(t, m, files)
	swap := func(old, by string) []byte {
		if !bytes.Contains(packed, []byte(old)) || len(old) != len(by) {
			t.Fatalf("%q for %q", by, old)
		}
		return bytes.Replace(packed, []byte(old), []byte(by), 1)
	}
	var other bytes.Buffer
	w := newTarWriter(&other)
	forged := *m
	forged.Signature = newOwner(1).Sign(m.HeadBytes)
	for _, d := range forged.documents() {
		must(t, w.document(t.Context(), d.name, d.content))
	}
	must(t, w.end())

	last := len(packed) - 1024 - 1024
	for name, c := range map[string]struct {
		b    []byte
		want error
		path string
	}{
		"nothing":             {nil, ErrIncomplete, ""},
		"no tar":              {[]byte(strings.Repeat("no tar ", 1000)), ErrFormat, ""},
		"only zeros":          {make([]byte, 2048), ErrFormat, ""},
		"another's signature": {other.Bytes(), ErrSignature, ""},
		"title":               {swap("title: \n", "title:!\n"), ErrFormat, ""},
		"signature":           {swap("signature: ed25519", "signature: ed25518"), ErrFormat, ""},
		"list":                {swap("letters/1%20", "letters/2%20"), digest.ErrMismatch, ""},
		"content":             {swap("Dear you,", "Dear You,"), digest.ErrMismatch, "letters/1 May.txt"},
		"name":                {swap("files/letters/1", "files/letters/2"), ErrFormat, "letters/1 May.txt"},
		"name going up":       {swap("files/letters/1", "files/../ters/1"), ErrFormat, "letters/1 May.txt"},
		"record":              {swap("26 path=files", "26 path=/etc/"), ErrFormat, "Grüße.txt"},
		"entry missing":       {append(bytes.Clone(packed[:last]), packed[len(packed)-1024:]...), ErrFormat, "letters/1 May.txt"},
		"entry twice":         {append(bytes.Clone(packed[:len(packed)-1024]), packed[last:]...), ErrFormat, ""},
		"no end":              {packed[:len(packed)-512], ErrIncomplete, ""},
		"more end":            {append(bytes.Clone(packed), make([]byte, 512)...), ErrFormat, ""},
	} {
		_, err := unpack(t.Context(), c.b)
		wantError(t, err, c.want)
		at := &FileError{}
		if errors.As(err, &at); at.Path != c.path {
			t.Errorf("%s: %v is about %q, want %q", name, err, at.Path, c.path)
		}
	}

	dead := errors.New("the line is dead")
	err := Unpack(t.Context(), io.MultiReader(bytes.NewReader(packed[:last+600]), errReader{dead}), &collect{})
	wantError(t, err, dead)
}

// lazy is a Sink that reads part of a file, or nothing.
type lazy struct {
	collect
	read int64
	err  error
}

func (l *lazy) File(_ Entry, r io.Reader) error {
	if _, err := io.CopyN(io.Discard, r, l.read); err != nil && err != io.EOF {
		return err
	}
	return l.err
}

// TestUnpackChecksForALazySink: what a sink does not read is checked all the same.
func TestUnpackChecksForALazySink(t *testing.T) {
	list, files := example()
	packed := pack(t, seal(t, list, ""), files)
	for _, read := range []int64{0, 1, 7, 100} {
		must(t, Unpack(t.Context(), bytes.NewReader(packed), &lazy{read: read}))
		bad := bytes.Replace(packed, []byte("Dear you,\n"), []byte("Dear you,\t"), 1)
		wantError(t, Unpack(t.Context(), bytes.NewReader(bad), &lazy{read: read}), digest.ErrMismatch)
	}
	full := errors.New("disk full")
	err := Unpack(t.Context(), bytes.NewReader(packed), &lazy{err: full})
	wantError(t, err, full)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, Unpack(ctx, bytes.NewReader(packed), &lazy{}), context.Canceled)
}

// TestUnpackPromises gives a signed head that promises a list of 64 MB, and no list.
func TestUnpackPromises(t *testing.T) {
	h := Head{Owner: newOwner(0).Key(), Created: created, ListSize: MaxList}
	m := &Manifest{Head: h, HeadBytes: h.Encode()}
	m.Signature = newOwner(0).Sign(m.HeadBytes)
	var b bytes.Buffer
	w := newTarWriter(&b)
	for _, d := range m.documents()[:2] {
		must(t, w.document(t.Context(), d.name, d.content))
	}
	must(t, w.header(documentHeader(listName, MaxList)))
	must(t, w.flush())
	var err error
	used := allocated(func() { _, err = unpack(t.Context(), b.Bytes()) })
	wantError(t, err, ErrIncomplete)
	if used > 1<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}
