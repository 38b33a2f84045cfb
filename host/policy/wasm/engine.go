package wasm

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/tesseras/tesseras/host/policy/wasm/meter"
)

// engine is what compiles and runs modules, and the folder where it looks for compiled ones.
type engine struct {
	wazero.Runtime
	cache wazero.CompilationCache
}

// newEngine is the one place that sets an engine up: parent and child have to agree, or what the child
// compiled is of no use. pages limits the linear memory of an instance.
//
// WithCloseOnContextDone stays off: modules are made to give way by package meter, which leaves no
// way around it and costs far less.
func newEngine(ctx context.Context, cacheDir string, pages uint32) (*engine, error) {
	cache, err := wazero.NewCompilationCacheWithDir(cacheDir)
	if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2). // all that package meter knows
		WithCompilationCache(cache).
		WithMemoryLimitPages(pages)
	return &engine{wazero.NewRuntimeWithConfig(ctx, config), cache}, nil
}

// compile compiles a module that gives way, or takes it from the cache.
func (e *engine) compile(ctx context.Context, m *meter.Module) (wazero.CompiledModule, error) {
	return e.CompileModule(watched(ctx, m), m.Bytes)
}

// watched makes the engine call a watch whenever the module gives way.
func watched(ctx context.Context, m *meter.Module) context.Context {
	yield := m.Yield
	return listening(ctx, &watch{m.Frames}, func(f api.FunctionDefinition) bool { return f.Index() == yield })
}

// watchedAll does the same for every function of a host module.
func watchedAll(ctx context.Context) context.Context {
	return listening(ctx, &watch{}, func(api.FunctionDefinition) bool { return true })
}

func listening(ctx context.Context, w *watch, to func(api.FunctionDefinition) bool) context.Context {
	return experimental.WithFunctionListenerFactory(ctx, experimental.FunctionListenerFactoryFunc(
		func(f api.FunctionDefinition) experimental.FunctionListener {
			if !to(f) {
				return nil
			}
			return experimental.FunctionListenerFunc(w.look)
		}))
}

// watch ends what takes too long or goes too deep.
type watch struct {
	frames meter.Frames // nil for the host's own functions
}

// deepest is how deep calls may go, in units of meter.Frames: of the smallest functions a hundred
// thousand, which take 10 MiB. The engine's own limit is 100 MiB, and it has the collector scan and
// copy all of that while nobody can interrupt it.
const deepest = 1 << 17

var errTooDeep = errors.New("stack overflow")

// look is called with the module's stack. The engine turns the panic into the call's error.
func (w *watch) look(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, stack experimental.StackIterator) {
	if ctx.Err() != nil {
		panic(sys.NewExitError(sys.ExitCodeContextCanceled))
	}
	if w.frames == nil {
		return
	}
	for deep := uint32(0); stack.Next(); {
		if deep += w.frames.Of(stack.Function().Definition().Index()); deep > deepest {
			panic(errTooDeep)
		}
	}
}

// close unmaps all compiled code: nothing may run any more.
func (e *engine) close() error {
	return errors.Join(e.Runtime.Close(context.Background()), e.cache.Close(context.Background()))
}
