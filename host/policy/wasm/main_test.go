package wasm

import (
	"fmt"
	"os"
	"testing"
)

// Where tests that do not look at it keep compiled modules: those written by hand for this run alone,
// real ones with those of the user's nodes, so that they are compiled once and not in each run.
var handCache, realCache string

func TestMain(m *testing.M) {
	MaybeCompileChild()
	var err error
	if handCache, err = os.MkdirTemp("", "tesseras-wasm-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if realCache, err = DefaultCacheDir(); err != nil {
		realCache = handCache
	}
	code := m.Run()
	if err := os.RemoveAll(handCache); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
