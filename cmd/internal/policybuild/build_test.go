package policybuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../../examples"

func build(t *testing.T, o Options) (Built, error) {
	t.Helper()
	if o.Env == nil {
		o.Env = os.Environ()
	}
	return Build(t.Context(), o)
}

// TestReproducible builds one source twice, in different places, and gets the same bytes.
func TestReproducible(t *testing.T) {
	var sums []string
	for _, name := range []string{"a.wasm", "b.wasm"} {
		b, err := build(t, Options{Dir: filepath.Join(examples, "keep-out"), Out: filepath.Join(t.TempDir(), name)})
		if err != nil {
			t.Fatal(err)
		}
		module, err := os.ReadFile(b.File)
		if err != nil || !strings.HasPrefix(string(module), "\x00asm") || b.Bytes != int64(len(module)) || !strings.HasSuffix(b.Package, "/examples/keep-out") {
			t.Fatalf("%+v, %v", b, err)
		}
		sums = append(sums, b.SHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: %q", sums)
	}
}

// TestNamedAfterItsFolder: without a name the module lies in its folder, and nothing else is left there.
func TestNamedAfterItsFolder(t *testing.T) {
	dir := filepath.Join(examples, "night-repair")
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(t, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if b.File != filepath.Join(dir, "night-repair.wasm") {
		t.Errorf("%+v", b)
	}
	if err := os.Remove(b.File); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir(dir)
	if err != nil || len(after) > len(before) {
		t.Errorf("%v is left, before it was %v, %v", after, before, err)
	}
}

func TestMistakes(t *testing.T) {
	folder := func(files ...string) string {
		dir := t.TempDir()
		for i := 0; i < len(files); i += 2 {
			if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	for name, tt := range map[string]struct {
		dir  string
		want error
		text string
	}{
		"no folder":       {filepath.Join(t.TempDir(), "nowhere"), os.ErrNotExist, ""},
		"no Go":           {folder("index.ts", "export {}"), ErrNoPackage, "there is no Go source in it"},
		"no module":       {folder("main.go", "package main\nfunc main() {}"), ErrBuild, "go.mod"},
		"a library":       {folder("go.mod", "module a\n", "a.go", "package a"), ErrNoPackage, "it is package a, not main"},
		"not a policy":    {folder("go.mod", "module a\n", "a.go", "package main\nfunc main() {}"), ErrNoPackage, "sdk/guest"},
		"does not parse":  {folder("go.mod", "module a\n", "a.go", "package main\nfunc {"), ErrBuild, "a.go"},
		"a file, no less": {"build.go", ErrNoPackage, "no folder"},
	} {
		if _, err := build(t, Options{Dir: tt.dir}); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v %s", name, err, tt.want, tt.text)
		}
	}
	if _, err := build(t, Options{Dir: examples, Env: []string{"PATH=" + t.TempDir()}}); !errors.Is(err, ErrNoGo) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, Options{Dir: filepath.Join(examples, "keep-out"), Env: os.Environ()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
