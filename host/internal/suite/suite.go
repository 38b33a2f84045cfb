// Package suite answers: how large is this run of a test suite, and how is it run again?
//
// A suite runs at its CI size unless TESSERAS_SIZES=nightly asks for the larger one; under the race
// detector it is a tenth of it. What is random in
// it comes from one seed, which TESSERAS_TEST_SEED sets and a failure prints.
package suite

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// The environment that suites read.
const (
	EnvSizes = "TESSERAS_SIZES"
	EnvSeed  = "TESSERAS_TEST_SEED"
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
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(EnvSeed); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", EnvSeed, err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: %s=%d go test -run '^%s$'", EnvSeed, seed, t.Name())
		}
	})
	return seed
}

// Executed prints how many cases a suite has executed, and fails when those are fewer than its size.
func (s Size) Executed(t testing.TB, cases int, of string) {
	t.Helper()
	t.Logf("%d %s", cases, of)
	if cases < s.Cases() && !t.Failed() {
		t.Errorf("%d %s are fewer than the suite's size, %d", cases, of, s.Cases())
	}
}
