package wasm

import (
	"context"
	"errors"
	"os"

	"github.com/tetratelabs/wazero"
)

// engine is what compiles and runs modules, and the folder where it looks for compiled ones.
type engine struct {
	wazero.Runtime
	cache wazero.CompilationCache
}

// newEngine is the one place that sets an engine up: parent and child have to agree, or what the child
// compiled is of no use. pages limits the linear memory of an instance.
func newEngine(ctx context.Context, cacheDir string, pages uint32) (*engine, error) {
	cache, err := wazero.NewCompilationCacheWithDir(cacheDir)
	if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfig().
		WithCompilationCache(cache).
		WithCloseOnContextDone(os.Getenv("NOTERM") == "").
		WithMemoryLimitPages(pages)
	return &engine{wazero.NewRuntimeWithConfig(ctx, config), cache}, nil
}

// close unmaps all compiled code: nothing may run any more.
func (e *engine) close() error {
	return errors.Join(e.Runtime.Close(context.Background()), e.cache.Close(context.Background()))
}
