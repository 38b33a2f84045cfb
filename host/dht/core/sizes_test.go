package core

import (
	"os"
	"runtime/debug"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

// sizes of the simulations: in CI, and with TESSERAS_SIZES=nightly.
type sizes struct {
	nodes    int // of a network without attackers
	lookups  int
	honest   int // beside attackers
	few      int // honest nodes where fewer will do
	keys     int // that an attacker sits next to
	searches int
	replayed int // nodes of the runs that are repeated
}

func size() sizes {
	if suite.Nightly() {
		return sizes{nodes: 10_000, lookups: 20_000, honest: 8_000, few: 2_000, keys: 50, searches: 5_000, replayed: 1_000}
	}
	return sizes{nodes: 500, lookups: 1_000, honest: 400, few: 240, keys: 3, searches: 300, replayed: 100}
}

// TestMain lets the collector rest: a simulation is garbage all over, and small.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
