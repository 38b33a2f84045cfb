package host_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tesseras/tesseras/"

// floor is the level of each room: production code imports only rooms of a lower level, so arrows
// only go down and services never see each other. A folder that is not listed is an error, which
// makes adding a room a decision.
var floor = map[string]int{
	"sdk":         0,
	"host/vfs":    0,
	"host/digest": 0,
	"host/tempo":  0,

	"plugins/placement":   1,
	"plugins/reciprocity": 1,
	"plugins/repair":      1,
	"plugins":             2,

	"host/identity": 1,
	"host/tessera":  1,
	"host/fragment": 2,
	"host/wire":     3,

	"sdk/guest":             1,
	"sdk/policytest":        1,
	"sdk/process":           2,
	"sdk/process/processv1": 0,
	"plugins/module":        3,

	"host/policy/native":     3,
	"host/policy/wasm":       6,
	"host/policy/wasm/meter": 2,
	"host/policy/process":    6,
	"host/policy/vet":        5,
	"host/policy/sim":        8,
	"host/policy/decisions":  5,

	"host/config":      4,
	"host/cas":         4,
	"host/catalog":     4,
	"host/journal":     4,
	"host/policy":      4,
	"host/quicnet":     4,
	"host/sidecar":     4,
	"host/cycle":       4,
	"host/health":      4,
	"host/institution": 4,
	"host/gather":      4,
	"host/cache":       5,
	"host/proof":       4,
	"host/dht":         5,
	"host/dht/core":    4,
	"host/ledger":      5,
	"host/legacy":      6,
	"host/holders":     6,
	"host/scatter":     7,
	"host/peer":        8,

	"host/archive": 9,
	"host/salvage": 9,
	"host/publish": 9,
	"host/custody": 9,
	"host/attest":  9,
	"host/repair":  9,
	"host/restore": 9,
	"host/sweep":   9,
	"host/scrub":   9,
	"host/heal":    9,
	"host/rebuild": 9,

	"host/localapi": 10,
	"host":          11,

	"cmd/internal/daemon":      12,
	"cmd/internal/demo":        12,
	"cmd/internal/policybuild": 12,
	"cmd/tesd":                 13,
	"cmd/tes":                  13,
}

// outside lists what a room of a restricted part may import beyond the standard library and us.
var outside = map[string][]string{
	"sdk":     {"github.com/aperturerobotics/protobuf-go-lite"},
	"plugins": {},
}

// home says where each big dependency lives; its types stop at that door.
var home = map[string][]string{
	"github.com/quic-go/quic-go":          {"host/quicnet"},
	"github.com/dgraph-io/badger/v4":      {"host/catalog"},
	"github.com/klauspost/reedsolomon":    {"host/fragment"},
	"lukechampine.com/blake3":             {"host/digest"},
	"github.com/knadh/koanf":              {"host/config"},
	"connectrpc.com/connect":              {"host/localapi"},
	"github.com/spf13/cobra":              {"cmd"},
	"github.com/vbauerster/mpb":           {"cmd"},
	"github.com/tetratelabs/wazero":       {"host/policy"},
	"github.com/hashicorp/go-plugin":      {"host/policy", "sdk/process"},
	"github.com/prometheus/client_golang": {"host"},
}

// abroad are the libraries that live wherever they are of use, each with the reason it is worth having. One
// that is neither here nor at home is nobody's decision.
var abroad = map[string]string{
	"github.com/agnivade/levenshtein":              "the nearest known key to a misspelt one",
	"github.com/aperturerobotics/protobuf-go-lite": "messages without reflection, small as WASM",
	"github.com/dustin/go-humanize":                "sizes and times as people write them",
	"github.com/google/btree":                      "names kept in order in memory",
	"github.com/hashicorp/go-hclog":                "what go-plugin logs through",
	"github.com/hashicorp/golang-lru/v2":           "which fragment in memory was used last",
	"github.com/spf13/pflag":                       "cobra's flags",
	"golang.org/x/net":                             "packets from a socket, many at once",
	"golang.org/x/sync":                            "goroutines that are waited for",
	"golang.org/x/sys":                             "calls of the system that the standard library leaves out",
	"golang.org/x/term":                            "whether a stream is a terminal",
	"golang.org/x/time":                            "bytes a second",
	"google.golang.org/grpc":                       "what the processes of go-plugin speak",
	"google.golang.org/protobuf":                   "messages on the wire",
}

// measuring and generating code stands outside the house: it may look at every room.
var workshop = []string{"host/internal/"}

func TestFloorPlan(t *testing.T) {
	for folder, imports := range productionImports(t) {
		if within(folder, workshop) {
			continue
		}
		level, known := floor[folder]
		if !known && !within(folder, []string{"examples/"}) {
			t.Errorf("%s is not in the floor plan", folder)
			continue
		}
		if within(folder, []string{"examples/"}) {
			level = 100
		}
		for _, imp := range imports {
			checkInside(t, folder, level, imp)
			checkOutside(t, folder, imp)
		}
	}
}

func checkInside(t *testing.T, folder string, level int, imp string) {
	t.Helper()
	room, ours := strings.CutPrefix(imp, module)
	if !ours {
		return
	}
	if within(room, workshop) {
		t.Errorf("%s imports %s: production code may not", folder, room)
		return
	}
	base := room
	for base != "." && !hasKey(floor, base) {
		base = path.Dir(base)
	}
	if base == folder || path.Dir(room) == folder {
		return // a room may use its own corners
	}
	if floor[base] >= level {
		t.Errorf("%s (level %d) imports %s (level %d): arrows only go down", folder, level, room, floor[base])
	}
	if strings.HasPrefix(folder, "host") && strings.HasPrefix(room, "plugins/") {
		t.Errorf("%s imports %s by name: the host knows policies only as the set in plugins", folder, room)
	}
	if strings.HasPrefix(folder, "plugins") && strings.HasPrefix(room, "host") {
		t.Errorf("%s imports %s: a policy sees only sdk", folder, room)
	}
}

func checkOutside(t *testing.T, folder, imp string) {
	t.Helper()
	if strings.HasPrefix(imp, module) || !strings.Contains(strings.Split(imp, "/")[0], ".") {
		return
	}
	if !hasPlace(imp) {
		t.Errorf("%s imports %s, which has no home: give it one, or a line among those abroad with the reason", folder, imp)
	}
	for lib, homes := range home {
		if of(imp, lib) && !within(folder+"/", slashed(homes)) {
			t.Errorf("%s imports %s, whose home is %s", folder, imp, strings.Join(homes, ", "))
		}
	}
	for part, allowed := range outside {
		if !within(folder+"/", []string{part + "/"}) || within(folder+"/", []string{"sdk/process/"}) {
			continue // a process carries what it needs; a WASM guest never imports that room
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return of(imp, a) }) {
			t.Errorf("%s imports %s: %s may not", folder, imp, part)
		}
	}
}

// of tells whether an import is of a library.
func of(imp, lib string) bool { return imp == lib || strings.HasPrefix(imp, lib+"/") }

// hasPlace tells whether somebody has decided that a library may be used.
func hasPlace(imp string) bool {
	for lib := range home {
		if of(imp, lib) {
			return true
		}
	}
	for lib := range abroad {
		if of(imp, lib) {
			return true
		}
	}
	return false
}

func TestALibraryThatNobodyDecidedOnHasNoPlace(t *testing.T) {
	for imp, want := range map[string]bool{
		"github.com/quic-go/quic-go/http3": true, "golang.org/x/sync/errgroup": true,
		"github.com/quic-go/qpack": false, "golang.org/x/crypto/ssh": false, "example.com/left/pad": false,
	} {
		if hasPlace(imp) != want {
			t.Errorf("%s: %v", imp, !want)
		}
	}
}

// TestPoliciesAreFreeOfFmt keeps the default policies small as WASM and the same on every processor.
func TestPoliciesAreFreeOfFmt(t *testing.T) {
	for folder, imports := range productionImports(t) {
		if !strings.HasPrefix(folder, "plugins/") {
			continue
		}
		for _, bad := range []string{"fmt", "math", "math/rand", "math/rand/v2", "time", "os", "encoding/json"} {
			if slices.Contains(imports, bad) {
				t.Errorf("%s imports %s", folder, bad)
			}
		}
	}
}

// TestTopLevelIsFixed holds the shape of the repository.
func TestTopLevelIsFixed(t *testing.T) {
	want := []string{"host", "plugins", "sdk", "cmd", "configs", "examples"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !slices.Contains(want, e.Name()) {
			t.Errorf("unexpected top-level folder %s", e.Name())
		}
	}
}

// TestEveryPackageSaysItsQuestion asks each package for a doc comment.
func TestEveryPackageSaysItsQuestion(t *testing.T) {
	documented := map[string]bool{}
	walkGo(t, func(folder, file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented[folder] = documented[folder] || f.Doc != nil && !strings.Contains(f.Doc.Text(), "Code generated")
	})
	for folder, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment", folder)
		}
	}
}

// productionImports lists what the non-test files of each folder import.
func productionImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	walkGo(t, func(folder, file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		imports[folder] = append(imports[folder], []string{}...)
		for _, i := range f.Imports {
			imports[folder] = append(imports[folder], strings.Trim(i.Path.Value, `"`))
		}
	})
	if len(imports) == 0 {
		t.Fatal("no packages found")
	}
	return imports
}

// walkGo visits the non-test Go files of the main module.
func walkGo(t *testing.T, visit func(folder, file string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			name := d.Name()
			if p != ".." && (nested == nil || strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(p)), "../")
			visit(folder, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func within(folder string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(folder, p) })
}

func slashed(folders []string) []string {
	out := make([]string, len(folders))
	for i, f := range folders {
		out[i] = f + "/"
	}
	return out
}

func hasKey(m map[string]int, k string) bool { _, ok := m[k]; return ok }
