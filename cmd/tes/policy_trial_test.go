package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// tes runs tes as a person's shell would, with the toolchain's folders in its environment.
func tes(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	shop.compute(func() {
		code = run(process{args: args, env: os.Environ(), stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	})
	return code, out.String(), errs.String()
}

// workshop is where policies that tests need are built, each once, and tried.
type workshop struct {
	dir    string
	places chan struct{} // one for each processor

	mu    sync.Mutex // guards below
	ready map[string]bool
}

// shop is made and cleared away around all tests.
var shop = &workshop{places: make(chan struct{}, runtime.GOMAXPROCS(0)), ready: map[string]bool{}}

// compute does something where there is a place: what is done with policies computes, and some of it is timed.
func (w *workshop) compute(something func()) {
	w.places <- struct{}{}
	defer func() { <-w.places }()
	something()
}

// around runs the tests in it.
func (w *workshop) around(run func() int) int {
	dir, err := os.MkdirTemp("", "tes-policies-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	w.dir = dir
	return run()
}

// built is a policy as a file, built where no test needed it before.
func built(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	out := filepath.Join(shop.dir, filepath.Base(dir))
	if !slices.Contains(flags, "--process") {
		out += ".wasm"
	}
	shop.mu.Lock()
	defer shop.mu.Unlock()
	if shop.ready[out] {
		return out
	}
	shop.ready[out] = true
	code, stdout, stderr := tes(t, append([]string{"--json", "policy", "build", dir, "-o", out}, flags...)...)
	var r struct {
		File, SHA256 string
		Size         int64 `json:"size_bytes"`
	}
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || r.File != out || len(r.SHA256) != 64 || r.Size == 0 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	return out
}

// tried reads what tes policy test --json says.
func tried(t *testing.T, stdout string) (failed int, problems string) {
	t.Helper()
	var r struct {
		Policies []trial
		Failed   int
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Policies {
		if p.Asked == 0 || len(p.SHA256) != 64 || p.Name == "" {
			t.Errorf("%+v", p)
		}
		for _, v := range p.Verdicts {
			if !v.OK {
				problems += v.Property + v.Case + ": " + v.Problem + "\n"
			}
		}
	}
	return r.Failed, problems
}

const keepOut = "../../examples/keep-out"

// TestPolicyBuildAndTest: one source becomes a module and a program, both keep every promise and give the
// same bytes.
func TestPolicyBuildAndTest(t *testing.T) {
	t.Parallel()
	module, program := built(t, keepOut), execPrefix+built(t, keepOut, "--process")
	args := []string{"policy", "test", module, program, "--questions", "10", "--set", "networks=10.0.1.0/24", "--set", "networks=10.0.2.0/24", "--set", "min_age=1h"}
	code, stdout, stderr := tes(t, append(args, "--json")...)
	if failed, problems := tried(t, stdout); code != 0 || failed > 0 {
		t.Fatalf("exit %d: %s%s", code, problems, stderr)
	}
	if !strings.Contains(stdout, `"runtime":"wasm"`) || !strings.Contains(stdout, `"runtime":"process"`) || !strings.Contains(stdout, "the same bytes as "+module) {
		t.Errorf("%s", stdout)
	}
}

// TestPolicyGolden writes a case's answer down, finds it again, and finds another one with other settings.
func TestPolicyGolden(t *testing.T) {
	t.Parallel()
	module, cases := built(t, keepOut), t.TempDir()
	q := policytest.Place(2, 1, policytest.Peers(4, nil))
	q.Guarding = true
	g, err := policytest.NewGolden("four", "one of four networks", sdk.RolePlacement, q)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Write(cases); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		network string
		update  bool
		want    int
		says    string
	}{
		{"10.0.1.0/24", false, 1, "wants nothing yet"},
		{"10.0.1.0/24", true, 0, "written"},
		{"10.0.1.0/24", false, 0, "case four"},
		{"10.0.2.0/24", false, 1, "another answer: want"},
	} {
		args := []string{"policy", "test", module, "--questions", "1", "--cases", cases, "--set", "networks=" + step.network}
		if step.update {
			args = append(args, "--update")
		}
		if code, stdout, stderr := tes(t, args...); code != step.want || !strings.Contains(stdout, step.says) {
			t.Fatalf("%+v: exit %d: %s%s", step, code, stdout, stderr)
		}
	}
}

// TestPolicyTestFindsLies: a policy that breaks the rules fails, in words.
func TestPolicyTestFindsLies(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := tes(t, "policy", "test", built(t, "testdata/policies/liar"), "--questions", "50")
	if code != 1 || !strings.Contains(stdout, "FAILED  answers keep the contract") || !strings.Contains(stderr, "did not hold\nhint: ") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func TestPolicyMistakes(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text.wasm")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	module := built(t, keepOut)
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{2, "hint: tes policy build DIR", []string{"test", "nowhere.wasm"}},
		{2, "hint: a program is named exec:" + text, []string{"test", text}},
		{2, "hint: a program has to serve", []string{"test", execPrefix + text}},
		{2, "min_age", []string{"test", module, "--set", "min_age=soon"}},
		{2, "write --set key=value", []string{"test", module, "--set", "min_age"}},
		{2, "NAME.json", []string{"test", module, "--questions", "1", "--cases", t.TempDir()}},
		{2, "guest.Register", []string{"build", "../../host/digest"}},
		{2, "name the folder", []string{"build", "nowhere"}},
	} {
		if code, stdout, stderr := tes(t, append([]string{"policy"}, tt.args...)...); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%q: exit %d, want %d and %q: %s%s", tt.args, code, tt.code, tt.says, stdout, stderr)
		}
	}
	var errs bytes.Buffer
	code := run(process{args: []string{"policy", "build", keepOut}, env: []string{"PATH=" + t.TempDir()}, stdin: strings.NewReader(""), stdout: &errs, stderr: &errs})
	if code != 1 || !strings.Contains(errs.String(), "hint: install Go from https://go.dev/dl") {
		t.Errorf("without Go: exit %d: %s", code, errs.String())
	}
}
