package planted

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

const envPlanted = "TESSERAS_PLANTED"

var plantedSize = suite.PlantedBugs

// TestPlantedBugsAreFound plants each bug and runs the test that is there to find it. The same binary
// without a bug passes the same tests: it is the bug that is found, not the planting.
func TestPlantedBugsAreFound(t *testing.T) {
	rooms := map[string][]bug{}
	for _, b := range bugs {
		rooms[b.room] = append(rooms[b.room], b)
	}
	found := make(chan string, len(bugs))
	t.Run("rooms", func(t *testing.T) {
		for room, bugs := range rooms {
			t.Run(room, func(t *testing.T) {
				t.Parallel()
				binary := build(t, room, bugs)
				t.Run("none", func(t *testing.T) { passes(t, binary, room, bugs) })
				for _, b := range bugs {
					t.Run(b.name, func(t *testing.T) {
						fails(t, binary, b)
						found <- b.name
					})
				}
			})
		}
	})
	plantedSize.Executed(t, len(found), "planted bugs")
}

// build compiles the tests of a room with all its bugs in them.
func build(t *testing.T, room string, bugs []bug) string {
	t.Helper()
	dir, source := t.TempDir(), path(t, room)
	replace := map[string]string{}
	for file, text := range plant(t, source, bugs) {
		copied := filepath.Join(dir, file)
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(source, file)] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "room.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", list, "-o", binary, ".")
	c.Dir = source
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// plant gives the files of a room that change, by name. An edit that does not fit its source any more
// is an error.
func plant(t *testing.T, source string, bugs []bug) map[string]string {
	t.Helper()
	files := map[string]string{"planted_switchboard.go": "package " + filepath.Base(source) + "\n" + switchboard}
	for _, b := range bugs {
		text, ok := files[b.file]
		if !ok {
			content, err := os.ReadFile(filepath.Join(source, b.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(content)
		}
		for _, e := range append([]edit{{b.old, b.new}}, b.also...) {
			if n := strings.Count(text, e.old); n != 1 {
				t.Fatalf("%s: %q occurs %d times in %s/%s: the bug must be planted anew", b.name, e.old, n, b.room, b.file)
			}
			text = strings.Replace(text, e.old, e.new, 1)
		}
		files[b.file] = text
	}
	return files
}

func path(t *testing.T, room string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("..", "..", room))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs some tests of a binary with a bug planted.
func run(t *testing.T, binary, room, bug string, tests []string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.failfast")
	c.Dir = path(t, room)
	c.Env = append(os.Environ(), envPlanted+"="+bug, suite.EnvSizes+"=", suite.EnvSuites+"=") // CI sizes find them
	out, err := c.CombinedOutput()
	return string(out), err
}

func passes(t *testing.T, binary, room string, bugs []bug) {
	var tests []string
	for _, b := range bugs {
		tests = append(tests, cmp.Or(b.sound, b.found))
	}
	slices.Sort(tests)
	if out, err := run(t, binary, room, "none", slices.Compact(tests)); err != nil {
		t.Errorf("without a bug: %v\n%s", err, out)
	}
}

func fails(t *testing.T, binary string, b bug) {
	out, err := run(t, binary, b.room, b.name, []string{b.found})
	if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(out, "--- FAIL: "+b.found) {
		t.Errorf("%s does not find it: %v\n%s", b.found, err, out)
		return
	}
	t.Log(finding(out))
}

// finding is the first thing a test had to say.
func finding(out string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "    ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
