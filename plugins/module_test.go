package plugins

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestModuleIsItsSource builds the embedded module again: the same bytes, with the toolchain that
// go.mod names. Another toolchain has nothing to compare.
func TestModuleIsItsSource(t *testing.T) {
	goMod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if pinned := "toolchain " + runtime.Version() + "\n"; !strings.Contains(string(goMod), pinned) {
		t.Logf("built with %s, which is not the toolchain of go.mod: nothing to compare", runtime.Version())
		return
	}
	out := filepath.Join(t.TempDir(), "default.wasm.gz")
	source, err := filepath.Abs("module")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "-C", "../host/internal/tools", "./wasmpack", "-package", source, "-out", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, packed) {
		t.Error("the embedded policies are not those of the source: run go generate ./plugins/module")
	}
}

func TestModuleIsSmall(t *testing.T) {
	const most = 1_000_000
	if len(packed) > most {
		t.Errorf("%d bytes, at most %d are embedded", len(packed), most)
	}
	module, err := DefaultModule()
	if err != nil || !bytes.HasPrefix(module, []byte("\x00asm")) {
		t.Errorf("%.4q, %v", module, err)
	}
}
