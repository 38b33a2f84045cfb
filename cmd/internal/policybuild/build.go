// Package policybuild answers: how does an author's Go source become a policy that a node runs?
//
// The same folder gives a WASM module, the same bytes on every machine with the same toolchain, or a
// program. What is built is a main package that registers its policies with sdk/guest; examples/README.md
// is the guide.
package policybuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

var (
	// ErrNoGo tells that there is no Go toolchain.
	ErrNoGo = errors.New("the go command is not on the path")
	// ErrNoPackage tells that a folder is not the main package of a policy.
	ErrNoPackage = errors.New("not a policy's main package")
	// ErrBuild tells that the compiler found mistakes.
	ErrBuild = errors.New("it does not compile")
)

// guestPackage is what makes a program a policy.
const guestPackage = "github.com/tesseras/tesseras/sdk/guest"

// Options say what to build.
type Options struct {
	Dir     string // of the main package
	Out     string // file to write; "" is named after the folder, in it
	Process bool   // a program for this machine; else a WASM module
	Env     []string
}

// Built is what came of it.
type Built struct {
	File    string
	SHA256  string // 64 lower-case hexadecimal digits
	Bytes   int64
	Package string // import path
}

// Build checks that the folder is a policy and compiles it. Errors: ErrNoGo, ErrNoPackage, ErrBuild with
// what the compiler said.
func Build(ctx context.Context, o Options) (Built, error) {
	program, err := lookGo(o.Env)
	if err != nil {
		return Built{}, fmt.Errorf("build %s: %w", o.Dir, err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return Built{}, err
	}
	b := builder{program, dir, environment(o)}
	path, err := b.check(ctx)
	if err != nil {
		return Built{}, fmt.Errorf("build %s: %w", o.Dir, err)
	}
	out, err := outFile(o, dir)
	if err != nil {
		return Built{}, err
	}
	if err := b.compile(ctx, out, o.Process); err != nil {
		return Built{}, fmt.Errorf("build %s: %w", o.Dir, err)
	}
	built, err := weigh(out)
	built.File, built.Package = shown(o, out), path
	return built, err
}

// lookGo finds the go command on the path of an environment.
func lookGo(env []string) (string, error) {
	for i := len(env) - 1; i >= 0; i-- {
		list, ok := strings.CutPrefix(env[i], "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, "go"+exeSuffix())
			if info, err := os.Stat(path); err == nil && !info.IsDir() && (info.Mode()&0o111 != 0 || runtime.GOOS == "windows") {
				return path, nil
			}
		}
		break
	}
	return "", ErrNoGo
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// environment is that of the compiler: what could change the bytes is set.
func environment(o Options) []string {
	env := append(slices.Clone(o.Env), "GOFLAGS=", "CGO_ENABLED=0", "GOWASM=")
	if o.Process {
		return append(env, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	}
	return append(env, "GOOS=wasip1", "GOARCH=wasm")
}

func outFile(o Options, dir string) (string, error) {
	if o.Out != "" {
		return filepath.Abs(o.Out)
	}
	name := filepath.Base(dir)
	if o.Process {
		return filepath.Join(dir, name+exeSuffix()), nil
	}
	return filepath.Join(dir, name+".wasm"), nil
}

// shown is the file's name as the caller wrote it.
func shown(o Options, out string) string {
	if o.Out != "" {
		return o.Out
	}
	return filepath.Join(o.Dir, filepath.Base(out))
}

type builder struct {
	program, dir string
	env          []string
}

func (b builder) run(ctx context.Context, args ...string) (stdout []byte, err error) {
	cmd := exec.CommandContext(ctx, b.program, args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	var said bytes.Buffer
	cmd.Stderr = &said
	stdout, err = cmd.Output()
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %s", ErrBuild, strings.TrimSpace(said.String()))
	}
	return stdout, err
}

// check tells whether the folder is a main package that registers policies, and gives its import path.
func (b builder) check(ctx context.Context) (string, error) {
	if info, err := os.Stat(b.dir); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", fmt.Errorf("%w: it is no folder", ErrNoPackage)
	}
	sources, err := filepath.Glob(filepath.Join(b.dir, "*.go"))
	if err != nil {
		return "", err
	}
	if len(sources) == 0 {
		return "", fmt.Errorf("%w: there is no Go source in it", ErrNoPackage)
	}
	listed, err := b.run(ctx, "list", "-json=Name,ImportPath,Deps", ".")
	if err != nil {
		return "", err
	}
	var p struct {
		Name, ImportPath string
		Deps             []string
	}
	if err := json.Unmarshal(listed, &p); err != nil {
		return "", fmt.Errorf("what go list says: %w", err)
	}
	switch {
	case p.Name != "main":
		return "", fmt.Errorf("%w: it is package %s, not main", ErrNoPackage, p.Name)
	case !slices.Contains(p.Deps, guestPackage):
		if _, err := b.run(ctx, "vet", "."); err != nil {
			return "", err // what cannot be read imports nothing
		}
		return "", fmt.Errorf("%w: it does not import %s, with which a policy is registered", ErrNoPackage, guestPackage)
	}
	return p.ImportPath, nil
}

// compile writes the file under a temporary name first, so that a node never loads half of it.
func (b builder) compile(ctx context.Context, out string, process bool) error {
	draft, err := os.MkdirTemp(filepath.Dir(out), ".tes-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	file := filepath.Join(draft, filepath.Base(out))
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file}
	if !process {
		args = append(args, "-buildmode=c-shared")
	}
	if _, err := b.run(ctx, append(args, ".")...); err != nil {
		return err
	}
	return os.Rename(file, out)
}

func weigh(path string) (Built, error) {
	f, err := os.Open(path)
	if err != nil {
		return Built{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return Built{Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
