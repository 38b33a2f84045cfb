package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

const guide = "../../examples/README.md"

// blocks are the listings of a language in the policy author's guide.
func blocks(t *testing.T, language string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// workspace is a module of an author's own, that requires this one as it is here.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	ours := "github.com/tesseras/tesseras"
	files["go.mod"] = strings.Replace(string(mod), "module "+ours, "module example.org/prefer-old", 1) +
		"\nrequire " + ours + " v0.0.0\n\nreplace " + ours + " => " + root + "\n"
	files["go.sum"] = string(sum)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGuide does what the policy author's guide says, from an empty folder to a configuration.
func TestGuide(t *testing.T) {
	t.Parallel()
	sources := blocks(t, "go")
	if len(sources) != 2 {
		t.Fatalf("%d listings in Go", len(sources))
	}
	dir := workspace(t, map[string]string{"main.go": sources[0], "main_test.go": sources[1]})
	tests := exec.CommandContext(t.Context(), "go", "test", ".")
	tests.Dir = dir
	shop.compute(func() {
		if said, err := tests.CombinedOutput(); err != nil {
			t.Fatalf("go test .: %v: %s", err, said)
		}
	})
	module := filepath.Join(dir, "prefer-old.wasm")
	if code, _, stderr := tes(t, "policy", "build", dir, "-o", module); code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := tes(t, "policy", "test", module, "--questions", "5"); code != 0 || !strings.Contains(stdout, "prefer-old 1 (wasm ") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	listed := blocks(t, "toml")[0]
	file := filepath.Join(dir, "tesd.toml")
	if err := os.WriteFile(file, []byte(strings.Replace(listed, `"..."`, `"`+strings.Repeat("0", 64)+`"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file})
	if err != nil || len(c.Policy.Placement) != 1 || c.Policy.Placement[0].Name != "prefer-old" || c.Policy.Placement[0].Role != config.RoleGuard {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestGuideGoldenCase: the case that the guide shows can be read.
func TestGuideGoldenCase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "case.json"), []byte(blocks(t, "json")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := policytest.ReadGolden(dir)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(sdk.Role, []byte) ([]byte, error) {
		return (&sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "no peer that may take a fragment says that it has room"}).MarshalVT()
	}
	if _, problem, err := cases[0].Answer(policytest.Subject{Ask: ask}); problem != nil || err != nil {
		t.Errorf("%v, %v", problem, err)
	}
}
