package wasm

import (
	"fmt"
	"os"
	"testing"
)

// cacheDir is shared by all tests of the binary, as by all nodes of a user.
var cacheDir string

func TestMain(m *testing.M) {
	MaybeCompileChild()
	var err error
	if cacheDir, err = os.MkdirTemp("", "tesseras-wasm-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(cacheDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
