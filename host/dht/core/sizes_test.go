package core

import (
	"os"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

// sizes of the simulations: in CI, with TESSERAS_SIZES=nightly, and under the race detector, which finds
// nothing in one goroutine and takes ten times as long.
type sizes struct {
	nodes    int // of a network without attackers
	lookups  int
	honest   int // beside attackers
	few      int // honest nodes where fewer will do
	keys     int // that an attacker sits next to
	searches int
	replayed int // nodes of the runs that are repeated
	mob      int // hostile nodes of one subnet
	haunted  int // nodes, and lookups, where a fifth tells of ghosts
}

func size() sizes {
	switch {
	case suite.Nightly():
		return sizes{nodes: 10_000, lookups: 20_000, honest: 8_000, few: 2_000, keys: 50, searches: 5_000, replayed: 1_000, mob: 500, haunted: 1_000}
	case suite.Race():
		return sizes{nodes: 500, lookups: 100, honest: 80, few: 60, keys: 1, searches: 30, replayed: 40, mob: 50, haunted: 40}
	}
	return sizes{nodes: 500, lookups: 1_000, honest: 400, few: 240, keys: 3, searches: 300, replayed: 80, mob: 250, haunted: 120}
}

// least is how many cases of a suite there are at the least, of so many in CI.
func least(cases int) int { return suite.Size{CI: cases, Nightly: cases}.Cases() }

// TestMain lets the collector rest: a simulation is garbage all over, and small. A large one is not.
func TestMain(m *testing.M) {
	if !suite.Nightly() {
		suite.CollectLess()
	}
	os.Exit(m.Run())
}

// abreast lets a simulation run beside others, unless they are large: a world of 10,000 nodes takes
// gigabytes.
func abreast(t *testing.T) {
	if !suite.Nightly() {
		t.Parallel()
	}
}

// begin makes the world of a test.
func begin(t *testing.T, usual uint64) *world {
	t.Helper()
	abreast(t)
	return newWorld(suite.UsualSeed(t, usual))
}
