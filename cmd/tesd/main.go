// Command tesd is a node: it keeps its owner's tesseras, and fragments of other people's.
package main

import (
	"context"
	"os"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/policy/wasm"
)

func main() {
	wasm.MaybeCompileChild()
	p := daemon.Process{Args: os.Args[1:], Env: os.Environ(), Stderr: os.Stderr}
	os.Exit(daemon.Main(context.Background(), p, daemon.Version(), host.Serve))
}
