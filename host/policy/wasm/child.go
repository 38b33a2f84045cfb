package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/tesseras/tesseras/host/policy/vet"
)

// How the child that compiles is told what it is, and what it may use.
const (
	childVariable = "TESSERAS_COMPILE_WASM" // the folder for the result
	childSeconds  = "TESSERAS_COMPILE_SECONDS"
	childArgument = "compile-wasm-module" // for people who look at a list of processes
	childMemory   = 512 << 20             // bytes of data; an honest module of 3 MiB takes 60 MiB
	childFile     = 256 << 20             // bytes of a compiled module
	longestReport = 1 << 10

	// A child's time is what it computes, so that a busy machine refuses nothing; it waits at most so
	// many times longer.
	patience = 6
)

// armed tells that this program's main lets a child of itself compile. Starting a program that does
// not would run all of it once more.
var armed atomic.Bool

// MaybeCompileChild has to be the first call in main of every program that loads modules, and in
// TestMain of every test that does. In the child that compiles a module it does that and exits; in
// any other process it returns at once.
//
// Compiling is what hostile bytes can make slow beyond all bounds, and it cannot be interrupted; a
// child of the same program can be killed, and takes the memory that compiling needs with it.
func MaybeCompileChild() {
	if os.Getenv(childVariable) == "" {
		armed.Store(true)
		return
	}
	if err := compileStdin(os.Getenv(childVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// compileStdin is the life of the child: a module from standard input, compiled into a folder.
func compileStdin(dir string) error {
	seconds, err := strconv.ParseUint(os.Getenv(childSeconds), 10, 32)
	if err != nil {
		return err
	}
	if err := limitSelf(seconds); err != nil {
		return fmt.Errorf("limit the child: %w", err)
	}
	debug.SetMemoryLimit(childMemory / 2)
	module, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ctx := experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0))
	e, err := newEngine(ctx, dir, allPages) // the parent holds the module to its own limit
	if err != nil {
		return err
	}
	_, err = e.CompileModule(ctx, module)
	return err // the engine ends with the process
}

// compileInChild compiles a module into a folder, within so much computing time.
func compileInChild(ctx context.Context, module []byte, dir string, limit time.Duration) error {
	if !armed.Load() {
		return errors.New("the program does not call wasm.MaybeCompileChild first in its main")
	}
	self, err := executable()
	if err != nil {
		return err
	}
	wait := patience * limit
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("%w: not compiled within %v", ErrCompile, wait))
	defer cancel()
	cmd := exec.CommandContext(ctx, self, childArgument)
	seconds := int((limit + time.Second - 1) / time.Second)
	cmd.Env = []string{childVariable + "=" + dir, childSeconds + "=" + strconv.Itoa(seconds)}
	cmd.Stdin = bytes.NewReader(module)
	report := &head{most: longestReport}
	cmd.Stderr = report
	cmd.WaitDelay = time.Second
	// A child dies with the thread that started it, where the system offers that; the thread is kept.
	cmd.SysProcAttr = diesWithUs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case report.String() != "":
		return fmt.Errorf("%w: %s", ErrCompile, firstLine(report.String()))
	}
	return fmt.Errorf("%w: %v", ErrCompile, err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return vet.Clean(line, 300)
}

// head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	most int
}

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), h.most-h.Len())])
	return len(p), nil
}

