// Package suite answers: how large is this run of a test suite, and how is it run again?
//
// A suite runs at its CI size unless TESSERAS_SIZES=nightly asks for the larger one; under the race
// detector it is a tenth of it. What is random in
// it comes from one seed, which TESSERAS_TEST_SEED sets and a failure prints.
package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The environment that suites read.
const (
	EnvSizes  = "TESSERAS_SIZES"
	EnvSeed   = "TESSERAS_TEST_SEED"
	EnvSuites = "TESSERAS_SUITES"
)

// Size is how many cases to run.
type Size struct{ CI, Nightly int }

// Cases is the number of cases this run is to execute.
func (s Size) Cases() int {
	if Nightly() {
		return s.Nightly
	}
	return (s.CI + share - 1) / share
}

// Race tells whether the race detector watches: what has no size to shrink may do less then.
func Race() bool { return share > 1 }

// Nightly tells whether this run is a large one.
func Nightly() bool { return os.Getenv(EnvSizes) == "nightly" }

// Seed is the seed of this run. A test that fails prints the command that runs it again.
func Seed(t testing.TB) uint64 {
	t.Helper()
	return seed(t, uint64(time.Now().UnixNano()))
}

// UsualSeed is Seed for a suite that is to be the same in every run of CI size: it starts from the usual one
// there, and from a new one in a large run.
func UsualSeed(t testing.TB, usual uint64) uint64 {
	t.Helper()
	if Nightly() {
		return Seed(t)
	}
	return seed(t, usual)
}

// seed is the seed that the environment names, else the given one.
func seed(t testing.TB, seed uint64) uint64 {
	t.Helper()
	if text := os.Getenv(EnvSeed); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", EnvSeed, err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: %s", again(t, seed))
		}
	})
	return seed
}

// again is the command that runs a test again, to be typed at the top of the repository.
func again(t testing.TB, seed uint64) string {
	command := fmt.Sprintf("%s=%d go test %s -run '^%s$'", EnvSeed, seed, room(), strings.ReplaceAll(t.Name(), "/", "$/^"))
	if Nightly() {
		return EnvSizes + "=nightly " + command
	}
	return command
}

// room is the package whose tests run: they run in its folder.
func room() string {
	here, err := os.Getwd()
	if err != nil {
		return "."
	}
	for top := here; ; top = filepath.Dir(top) {
		if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
			inside, _ := filepath.Rel(top, here) // both are absolute
			return "./" + filepath.ToSlash(inside)
		}
		if top == filepath.Dir(top) {
			return "."
		}
	}
}

// Executed prints how many cases a suite has executed, and fails when those are fewer than its size. It
// adds the line to the file that TESSERAS_SUITES names, because go test keeps what a test prints to
// itself when the test passes.
func (s Size) Executed(t testing.TB, cases int, of string) {
	t.Helper()
	t.Logf("%d %s", cases, of)
	if err := note(t, cases, of); err != nil {
		t.Errorf("%s: %v", EnvSuites, err)
	}
	if cases < s.Cases() && !t.Failed() {
		t.Errorf("%d %s are fewer than the suite's size, %d", cases, of, s.Cases())
	}
}

// note adds a line to the file of what suites have executed, if one is wanted.
func note(t testing.TB, cases int, of string) error {
	name := os.Getenv(EnvSuites)
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%10d %s (%s %s)\n", cases, of, room(), t.Name())
	return errors.Join(err, f.Close())
}
