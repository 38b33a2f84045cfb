package tessera

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tesseras/tesseras/host/internal/bombard"
)

// TestStrangersDocuments (G9): what peers and disks hand over as text.
func TestStrangersDocuments(t *testing.T) {
	golden := func(pattern string, part func([]byte) []byte) (out [][]byte) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("no seeds %s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, part(b))
		}
		return out
	}
	for _, p := range []bombard.Parser{
		{
			Name: "FuzzParseHead", Seeds: golden("*.tessera", parsed(func(m *Manifest) []byte { return m.HeadBytes })),
			Parse: func(in []byte) { ParseHead(in) },
		},
		{
			Name: "FuzzParseFileList", Seeds: golden("*.tessera", parsed(func(m *Manifest) []byte { return m.ListBytes })),
			Parse: func(in []byte) { ParseFileList(in) },
		},
		{Name: "FuzzParseManifest", Seeds: golden("*.tessera", whole), Parse: func(in []byte) { ParseManifest(in) }},
		{Name: "FuzzParseTombstone", Seeds: golden("*.tomb", whole), Parse: func(in []byte) { ParseTombstone(in) }},
	} {
		t.Run(p.Name, func(t *testing.T) { bombard.Run(t, p) })
	}
}
