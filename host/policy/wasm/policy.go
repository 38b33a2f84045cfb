// Package wasm answers: what does a policy say that is a WebAssembly module?
//
// The bytes cross as sdk/ABI.md says. A module gets memory up to a limit, time up to a deadline, and
// nothing else: no files, no clock, no randomness, no imports but those of the ABI. It is compiled in
// a child process that can be killed, and its compiled form is kept for all nodes of a user.
//
// Every placement and every repair gets an instance that never answered anything before, made ready in
// advance; admissions share instances. An instance that fails in any way is closed.
package wasm

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/sdk"
)

// Runtime is the name of this runtime in logs and metrics.
const Runtime = "wasm"

var (
	// ErrModule tells that the bytes are no module that can be used here.
	ErrModule = errors.New("not a policy module")
	// ErrDigest tells that the module is another one than was configured.
	ErrDigest = errors.New("the module is not the one configured")
	// ErrABI tells that the module does not speak the ABI, or another version of it.
	ErrABI = errors.New("the module does not speak ABI version 1")
	// ErrImports tells that the module wants more of the host than it may have.
	ErrImports = errors.New("foreign import")
	// ErrCompile tells that the module cannot be compiled within its limits.
	ErrCompile = errors.New("compile")
	// ErrCache tells that compiled modules cannot be kept.
	ErrCache = errors.New("cache of compiled modules")
	// ErrGuest tells that a running module failed: it trapped, exited, or answered with nothing.
	ErrGuest = errors.New("the module failed")
	// ErrClosed tells that the policy was closed.
	ErrClosed = errors.New("the policy is closed")
)

// The exports of ABI version 1.
const (
	exportMarker    = "tesseras_abi_v1"
	exportAlloc     = "tesseras_alloc"
	exportDescribe  = "tesseras_describe"
	exportConfigure = "tesseras_configure"
	exportPlace     = "tesseras_place"
	exportAdmit     = "tesseras_admit"
	exportRepair    = "tesseras_repair"
)

// questions names the export that answers for each role.
var questions = map[sdk.Role]string{
	sdk.RolePlacement: exportPlace, sdk.RoleReciprocity: exportAdmit, sdk.RoleRepair: exportRepair,
}

// Policy is a loaded module. It is safe for concurrent use; close it.
type Policy struct {
	name        string
	digest      string
	limits      Limits
	log         *slog.Logger
	description *sdk.Description
	settings    []byte // a ConfigureRequest; nil for a module that has no settings

	engine   *engine
	module   wazero.CompiledModule
	cacheDir string // compiled code of this policy alone; "" where the cache is shared
	stock    *stock
	closed   sync.Once
}

// Name is what the policy is called in configuration, logs and metrics.
func (p *Policy) Name() string { return p.name }

// Runtime is "wasm".
func (p *Policy) Runtime() string { return Runtime }

// Digest is the SHA-256 of the module, in hexadecimal.
func (p *Policy) Digest() string { return p.digest }

// Description is what the module says about itself. It must not be changed.
func (p *Policy) Description() *sdk.Description { return p.description }

// Ask puts a question to the module. It returns when the module answered, failed, or the context
// ended: a module that is still running then is stopped where it is. The response is the caller's.
func (p *Policy) Ask(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
	if !vet.Plays(p.description, role) {
		return nil, sdk.ErrRole
	}
	ctx, cancel := context.WithTimeout(ctx, p.limits.Call)
	defer cancel()
	l, err := p.stock.lease(ctx, cancel, role == sdk.RoleReciprocity)
	if err != nil {
		return nil, err
	}
	response, err := l.ask(ctx, questions[role], request)
	p.stock.giveBack(l, err)
	return response, err
}

// Close stops the module and gives back its memory. Questions under way fail.
func (p *Policy) Close() (err error) {
	p.closed.Do(func() {
		if p.stock != nil {
			p.stock.close()
		}
		if p.engine != nil {
			err = p.engine.close()
		}
		if p.cacheDir != "" {
			err = errors.Join(err, os.RemoveAll(p.cacheDir))
		}
	})
	return err
}
