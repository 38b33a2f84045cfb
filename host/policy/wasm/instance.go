package wasm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
)

// instance is a module with a memory of its own. It answers one question at a time; after any error
// it is only good for being closed.
type instance struct {
	module    api.Module
	log       *vet.Log
	functions map[string]api.Function
	questions int // answered so far
}

// function finds an exported function once: finding it costs more than calling it.
func (i *instance) function(name string) api.Function {
	f, known := i.functions[name]
	if !known {
		f = i.module.ExportedFunction(name)
		i.functions[name] = f
	}
	return f
}

// tell calls an export that only answers.
func (i *instance) tell(ctx context.Context, name string) ([]byte, error) {
	packed, err := i.call(ctx, name)
	if err != nil {
		return nil, err
	}
	return i.answer(packed)
}

// ask writes a request into the guest's memory, calls an export on it and copies its answer out.
func (i *instance) ask(ctx context.Context, name string, request []byte) ([]byte, error) {
	i.log.Next()
	ptr, err := i.call(ctx, exportAlloc, uint64(len(request)))
	if err != nil {
		return nil, err
	}
	nowhere := uint32(ptr) == 0 && len(request) > 0
	if nowhere || !i.module.Memory().Write(uint32(ptr), request) {
		return nil, fmt.Errorf("%w: %s(%d) gave no place for the request", ErrGuest, exportAlloc, len(request))
	}
	packed, err := i.call(ctx, name, uint64(uint32(ptr)), uint64(len(request)))
	if err != nil {
		return nil, err
	}
	i.questions++
	return i.answer(packed)
}

// answer copies what ptr<<32 | len points to. The guest may use that memory again at its next call.
func (i *instance) answer(packed uint64) ([]byte, error) {
	ptr, size := uint32(packed>>32), uint32(packed)
	if size == 0 {
		return nil, fmt.Errorf("%w: an empty answer", ErrGuest)
	}
	if size > sdk.MaxResponse {
		return nil, fmt.Errorf("%w: an answer of %d bytes, at most %d are read", ErrGuest, size, sdk.MaxResponse)
	}
	view, ok := i.module.Memory().Read(ptr, size)
	if !ok {
		return nil, fmt.Errorf("%w: an answer outside its memory", ErrGuest)
	}
	return slices.Clone(view), nil
}

// call runs an export until it returns, traps, exits or the context ends.
func (i *instance) call(ctx context.Context, name string, args ...uint64) (uint64, error) {
	results, err := i.function(name).Call(withLog(ctx, i.log), args...)
	if err != nil {
		return 0, guestError(ctx, name, err)
	}
	if len(results) == 0 {
		return 0, nil
	}
	return results[0], nil
}

// guestError says in one line how a guest failed, or that its time was up.
func guestError(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s: exit with code %d", ErrGuest, name, exit.ExitCode())
	}
	if errors.Is(err, errTooDeep) {
		err = errTooDeep
	}
	return fmt.Errorf("%w: %s: %s", ErrGuest, name, firstLine(err.Error()))
}

// memory is how many bytes of linear memory the guest has taken.
func (i *instance) memory() int { return int(i.module.Memory().Size()) }

func (i *instance) close() {
	_ = i.module.Close(context.Background()) // it gives the guest's exit code, if anything
}
