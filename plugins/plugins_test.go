package plugins

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

func TestNamed(t *testing.T) {
	for name, roles := range map[string]int{"spread": 1, "fair-share": 1, "thinnest-first": 1, DefaultName: 3} {
		set, known := Named(name)
		got := 0
		for _, policy := range []any{set.Placement, set.Reciprocity, set.Repair} {
			if policy == nil {
				continue
			}
			got++
			d := policy.(sdk.Describer).Describe()
			if name != DefaultName && d.Name != name || d.Version == "" || !d.Decider {
				t.Errorf("%s describes itself as %v", name, d)
			}
		}
		if !known || got != roles {
			t.Errorf("%s: known %v, plays %d roles", name, known, got)
		}
	}
	if _, known := Named("none"); known {
		t.Error("a policy nobody wrote is known")
	}
}

// TestPoliciesAreReplayable reads the policies' source for what would make an answer differ between
// two machines or two runs: floats, the order of a map, goroutines, and state outside the call.
func TestPoliciesAreReplayable(t *testing.T) {
	for _, folder := range []string{"placement", "reciprocity", "repair"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(folder, err)
		}
		fset, parsed := token.NewFileSet(), []*ast.File(nil)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		for _, fault := range faults(fset, folder, parsed) {
			t.Error(fault)
		}
	}
}

// TestReplayableBites shows that the reader above finds what it looks for.
func TestReplayableBites(t *testing.T) {
	const source = `package p
var state int
var _ = 1.5
func f(m map[string]int) (n float64) {
	for k := range m { _ = k }
	go f(nil)
	return n
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := faults(fset, "p", []*ast.File{f}); len(got) != 5 {
		t.Errorf("found %d of 5: %v", len(got), got)
	}
}

// faults type-checks the files without their imports, which is enough to know local types.
func faults(fset *token.FileSet, name string, files []*ast.File) (out []string) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	config.Check(name, fset, files, info) //nolint:errcheck // what cannot be imported is not looked at
	fault := func(n ast.Node, what string) { out = append(out, fset.Position(n.Pos()).String()+": "+what) }
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && !onlyBlank(g) {
				fault(g, "state outside the call")
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Name == "float64" || n.Name == "float32" {
					fault(n, "a float")
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT {
					fault(n, "a float")
				}
			case *ast.GoStmt:
				fault(n, "a goroutine")
			case *ast.RangeStmt:
				if t := info.TypeOf(n.X); t != nil {
					if _, isMap := t.Underlying().(*types.Map); isMap {
						fault(n, "the order of a map")
					}
				}
			}
			return true
		})
	}
	return out
}

func onlyBlank(g *ast.GenDecl) bool {
	for _, s := range g.Specs {
		for _, name := range s.(*ast.ValueSpec).Names {
			if name.Name != "_" {
				return false
			}
		}
	}
	return true
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }
