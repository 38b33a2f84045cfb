package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy/wasm"
)

// TestMain lets the test binary be tes and tesd, so that scripts run real processes.
func TestMain(m *testing.M) {
	wasm.MaybeCompileChild()
	testscript.Main(working{m}, map[string]func(){
		"tes": main,
		"tesd": func() {
			p := daemon.Process{Args: os.Args[1:], Env: os.Environ(), Stderr: os.Stderr}
			os.Exit(daemon.Main(context.Background(), p, "test", host.Serve))
		},
	})
}

// working runs the tests with a place where policies are built, more of them at once than there are
// processors: scripts wait, for nodes and for peers that are gone, more than they compute.
type working struct{ *testing.M }

// atOnce is how many tests run at once where the command line does not say.
const atOnce = "6"

func (w working) Run() int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", atOnce) // it is a number
	}
	return shop.around(w.M.Run)
}

func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir() // where policies are compiled once, and not for each script
	if err != nil {
		cache = t.TempDir()
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("TESSERAS_DATA_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("TESSERAS_NETWORK__POW_BITS", "4")
			e.Setenv("TESSERAS_NETWORK__LISTEN", "127.0.0.1:0")
			e.Setenv("TESSERAS_STORAGE__MIN_FREE", "0")
			return toolchain(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"decision": firstDecision,
			"exits":    exits,
			"fill":     fill,
			"flip":     flip,
			"json":     jsonHas,
			"jsonset":  jsonSet,
			"random":   random,
			"running":  running,
			"treediff": treeDiff,
		},
	})
}

// exits CODE PROGRAM ARGS... runs a program and wants its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// toolchain lets scripts build policies: from the caches of whoever runs the tests.
func toolchain(e *testscript.Env) error {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	e.Setenv("EXAMPLES", examples)
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		dir, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return fmt.Errorf("go env %s: %w", name, err)
		}
		e.Setenv(name, strings.TrimSpace(string(dir)))
	}
	return nil
}

// fill FILE puts the values of variables into a file.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// flip FOLDER WHICH changes a bit of each file in a folder, and below, that has so many bytes or a name that
// begins so.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	found := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || strconv.Itoa(len(b)) != args[1] && !strings.HasPrefix(d.Name(), args[1]) {
			return err
		}
		found++
		b[len(b)/2] ^= 1
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600))
	}))
	if found == 0 {
		ts.Fatalf("nothing in %s is %s", args[0], args[1])
	}
}

// firstDecision FILE sets DECISION to the id of the first decision that is explained in a file.
func firstDecision(ts *testscript.TestScript, _ bool, args []string) {
	id, ok := strings.CutPrefix(ts.ReadFile(args[0]), "decision ")
	if !ok || len(id) < 16 {
		ts.Fatalf("%s explains no decision", args[0])
	}
	ts.Setenv("DECISION", id[:16])
}

// object is the JSON object of stdout or stderr.
func object(ts *testscript.TestScript, stream string) map[string]any {
	var o map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(stream)), &o); err != nil {
		ts.Fatalf("%s is no JSON object: %v", stream, err)
	}
	return o
}

// json STREAM KEY... wants an object with these keys; KEY=VALUE wants the value too.
func jsonHas(ts *testscript.TestScript, _ bool, args []string) {
	o := object(ts, args[0])
	for _, want := range args[1:] {
		key, value, hasValue := cut(want)
		got, ok := o[key]
		if !ok {
			ts.Fatalf("there is no %q in %v", key, o)
		}
		if hasValue && fmt.Sprint(got) != value {
			ts.Fatalf("%s is %v, want %s", key, got, value)
		}
	}
}

func cut(s string) (key, value string, found bool) {
	for i := range s {
		if s[i] == '=' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// jsonset VAR KEY sets a variable from the object of stdout.
func jsonSet(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], fmt.Sprint(object(ts, "stdout")[args[1]]))
}

// random FILE BYTES SEED writes a file that cannot be compressed or deduplicated.
func random(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var seed [32]byte
	copy(seed[:], args[2])
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// running DIR waits for the node of a data directory, and sets ADDR to its address.
func running(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		who, err := identify(ts.MkAbs(args[0]))
		if err == nil && who.Addr != "" {
			ts.Setenv("ADDR", who.Addr)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no node runs on %s: %v", args[0], err)
		}
	}
}

func identify(dir string) (localapi.Identity, error) {
	c, err := localapi.Dial(context.Background(), dir)
	if err != nil {
		return localapi.Identity{}, err
	}
	defer c.Close()
	return c.Identity(context.Background())
}

// treediff A B wants two folders to hold the same files, folders and times.
func treeDiff(ts *testscript.TestScript, _ bool, args []string) {
	a, b := listing(ts, args[0]), listing(ts, args[1])
	for path, want := range a {
		if b[path] != want {
			ts.Fatalf("%s: %q in %s, %q in %s", path, want, args[0], b[path], args[1])
		}
	}
	if len(a) != len(b) {
		ts.Fatalf("%d things in %s, %d in %s", len(a), args[0], len(b), args[1])
	}
}

func listing(ts *testscript.TestScript, dir string) map[string]string {
	all, root := map[string]string{}, ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || d.IsDir() {
			all[rel] = "folder"
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		all[rel] = fmt.Sprint(string(content), info.ModTime())
		return err
	}))
	return all
}
