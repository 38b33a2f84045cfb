package legacy

import (
	"bytes"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

func TestReferencesReadBack(t *testing.T) {
	h := digest.Of([]byte("x"))
	r := &References{
		Tessera:   sdk.TesseraID{1},
		Blobs:     []Blob{{h, "b", h, 1}, {h, "a b%\n\xff", digest.Of(nil), 0}, {h, "b", h, 1}},
		Fragments: []Fragment{{7, h, 1}, {3, h, 1}},
	}
	doc := r.Bytes()
	got, err := Parse(doc)
	if err != nil || len(got.Blobs) != 2 || got.Blobs[0].Name != "a b%\n\xff" || len(got.Fragments) != 2 || got.Fragments[0].Index != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if !bytes.Equal(got.Bytes(), doc) {
		t.Error("read and written again it is another")
	}
	for at := range doc {
		bad := bytes.Clone(doc)
		bad[at] ^= 0x10
		if got, err := Parse(bad); err == nil && !bytes.Equal(got.Bytes(), bad) {
			t.Fatalf("accepted with byte %d changed, as something else", at)
		}
		if _, err := Parse(doc[:at]); err == nil && doc[at-1] != '\n' {
			t.Fatalf("accepted when cut at byte %d", at)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add((&References{Tessera: sdk.TesseraID{1}, Fragments: []Fragment{{Index: 2}}}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Parse(b); err == nil && !bytes.Equal(r.Bytes(), b) {
			t.Error("two spellings of one document")
		}
	})
}
