// Command wasmpack builds a Go policy as a WASM module and compresses it, the same bytes on every
// machine with the same toolchain.
//
//	wasmpack -package ../../../plugins/module -out ../../../plugins/module/default.wasm.gz
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	pkg := flag.String("package", "", "folder of the policy's main package")
	out := flag.String("out", "", "file to write, ending in .gz")
	flag.Parse()
	if err := run(*pkg, *out); err != nil {
		fmt.Fprintln(os.Stderr, "wasmpack:", err)
		os.Exit(1)
	}
}

func run(pkg, out string) error {
	dir, err := os.MkdirTemp("", "wasmpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	module := filepath.Join(dir, "module.wasm")
	cmd := exec.Command("go", "build", "-C", pkg, "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid=", "-buildmode=c-shared", "-o", module, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOFLAGS=", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	content, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	compressed, err := compress(content)
	if err != nil {
		return err
	}
	return os.WriteFile(out, compressed, 0o644)
}

func compress(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
