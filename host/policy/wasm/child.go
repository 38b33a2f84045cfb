package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/host/policy/wasm/meter"
)

// How the child that compiles is told what it is, and what it may use.
const (
	childVariable = "TESSERAS_COMPILE_WASM" // the folder for the result
	childSeconds  = "TESSERAS_COMPILE_SECONDS"
	childPages    = "TESSERAS_COMPILE_PAGES" // of linear memory that an instance may have
	childYield    = "TESSERAS_COMPILE_YIELD" // see meter.Module
	childArgument = "compile-wasm-module"    // for people who look at a list of processes
	childMemory   = 512 << 20                // bytes of data; an honest module of 3 MiB takes 60 MiB
	childFile     = 256 << 20                // bytes of a compiled module
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
	yield, err := strconv.ParseUint(os.Getenv(childYield), 10, 32)
	if err != nil {
		return err
	}
	pages, err := strconv.ParseUint(os.Getenv(childPages), 10, 32)
	if err != nil {
		return err
	}
	tellOvertime(seconds)
	if err := limitSelf(seconds); err != nil {
		return fmt.Errorf("limit the child: %w", err)
	}
	debug.SetMemoryLimit(childMemory / 2)
	module, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ctx := experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0))
	e, err := newEngine(ctx, dir, uint32(pages))
	if err != nil {
		return err
	}
	_, err = e.compile(ctx, &meter.Module{Bytes: module, Yield: uint32(yield)})
	return errors.Join(err, checkTime(seconds)) // the engine ends with the process
}

// tellOvertime says that the time is up, one second before the system ends the child.
func tellOvertime(seconds uint64) {
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintln(os.Stderr, overtime(seconds))
		os.Exit(1)
	}()
}

func overtime(seconds uint64) error {
	return fmt.Errorf("it takes more than %d s of computing", seconds)
}

// checkTime looks once more at the end: the system counts in ticks, and may be late.
func checkTime(seconds uint64) error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	if spent := time.Duration(used.Utime.Nano() + used.Stime.Nano()); spent > time.Duration(seconds)*time.Second {
		return overtime(seconds)
	}
	return nil
}

// compileInChild compiles a module into a folder, within so much computing time.
func compileInChild(ctx context.Context, m *meter.Module, dir string, limits Limits) error {
	if !armed.Load() {
		return errors.New("the program does not call wasm.MaybeCompileChild first in its main")
	}
	self, err := executable()
	if err != nil {
		return err
	}
	wait := patience * limits.Compile
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("%w: not compiled within %v", ErrCompile, wait))
	defer cancel()
	cmd := exec.CommandContext(ctx, self, childArgument)
	seconds := int((limits.Compile + time.Second - 1) / time.Second)
	cmd.Env = []string{
		childVariable + "=" + dir,
		childSeconds + "=" + strconv.Itoa(seconds),
		childPages + "=" + strconv.FormatUint(uint64(limits.pages()), 10),
		childYield + "=" + strconv.FormatUint(uint64(m.Yield), 10),
	}
	cmd.Stdin = bytes.NewReader(m.Bytes)
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
