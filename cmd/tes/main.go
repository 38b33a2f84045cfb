// Command tes is everything a person types: for owners of memories, for operators of nodes, for scripts.
//
// It talks to the node that runs on a data directory; where none runs, it opens the directory itself.
package main

import (
	"os"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/policy/wasm"
)

func main() {
	wasm.MaybeCompileChild()
	p := process{
		args: os.Args[1:], env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		serve: host.Serve, open: host.OpenLocal,
	}
	os.Exit(run(p))
}
