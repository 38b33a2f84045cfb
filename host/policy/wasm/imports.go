package wasm

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/tesseras/tesseras/host/policy/vet"
)

// ourImports is the module whose functions a guest may import besides those of WASI.
const ourImports = "tesseras"

// offer gives a runtime the functions that guests may import, and returns their names. WASI is there
// for what a compiler's own library asks at its start; what an instance finds behind it, see
// surroundings.
func offer(ctx context.Context, r wazero.Runtime) (names []string, err error) {
	ctx = watchedAll(ctx) // what the host does for a guest takes time as well
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, err
	}
	_, err = r.NewHostModuleBuilder(ourImports).
		NewFunctionBuilder().WithFunc(hostLog).Export("log").
		NewFunctionBuilder().WithFunc(hostLogEnabled).Export("log_enabled").
		Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	for _, module := range []string{wasi_snapshot_preview1.ModuleName, ourImports} {
		for name := range r.Module(module).ExportedFunctionDefinitions() {
			names = append(names, module+"."+name)
		}
	}
	return names, nil
}

// checkImports refuses a module that wants more than is offered.
func checkImports(wanted, offered []string) error {
	var foreign []string
	for _, name := range wanted {
		if !slices.Contains(offered, name) && len(foreign) < 5 {
			foreign = append(foreign, vet.Clean(name, 100))
		}
	}
	if len(foreign) > 0 {
		return fmt.Errorf("%w: it imports %s", ErrImports, strings.Join(foreign, ", "))
	}
	return nil
}

// surroundings is the world of one instance: no files, arguments, variables or sockets, a clock that
// stands still, and the same randomness for everyone, so that an answer depends on the question alone.
func surroundings(log *vet.Log) wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // as many instances as are wanted
		WithStartFunctions("_initialize").
		WithStdout(log.Writer(slog.LevelInfo)).
		WithStderr(log.Writer(slog.LevelWarn)).
		WithWalltime(func() (sec int64, nsec int32) { return 0, 0 }, 1).
		WithNanotime(func() int64 { return 1 }, 1). // zero means "no clock" to some
		WithNanosleep(func(int64) {}).
		WithOsyield(func() {}).
		WithRandSource(rand.NewChaCha8([32]byte{}))
}

// logKey finds the log of the instance that is called.
type logKey struct{}

func withLog(ctx context.Context, log *vet.Log) context.Context {
	return context.WithValue(ctx, logKey{}, log)
}

func logOf(ctx context.Context) *vet.Log {
	log, _ := ctx.Value(logKey{}).(*vet.Log)
	return log
}

// hostLog is the guest's log(level, ptr, len). A place outside its memory is logged as nothing.
func hostLog(ctx context.Context, m api.Module, level int32, ptr, size uint32) {
	if log, memory := logOf(ctx), m.Memory(); log != nil && memory != nil {
		if text, ok := memory.Read(ptr, size); ok {
			log.Line(levelOf(level), text)
		}
	}
}

// hostLogEnabled is the guest's log_enabled(level).
func hostLogEnabled(ctx context.Context, level int32) int32 {
	if log := logOf(ctx); log != nil && log.Enabled(levelOf(level)) {
		return 1
	}
	return 0
}

func levelOf(level int32) slog.Level {
	switch level {
	case 0:
		return slog.LevelDebug
	case 1:
		return slog.LevelInfo
	case 2:
		return slog.LevelWarn
	}
	return slog.LevelError
}
