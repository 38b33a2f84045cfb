package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/host/policy/wasm/meter"
)

// LoadFile loads the module in a file.
func LoadFile(ctx context.Context, path string, config Config) (*Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load policy %s: %w", config.Name, err)
	}
	defer f.Close()
	module, err := io.ReadAll(io.LimitReader(f, int64(config.Limits.withDefaults().Module)+1))
	if err != nil {
		return nil, fmt.Errorf("load policy %s: %w", config.Name, err)
	}
	return Load(ctx, module, config)
}

// Load takes a module into use: digest, imports, compilation, description, settings, in this order.
// The program's main has to call MaybeCompileChild. The bytes are not kept.
func Load(ctx context.Context, module []byte, config Config) (*Policy, error) {
	p := &Policy{name: config.Name, limits: config.Limits.withDefaults(), log: config.Log}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("policy", p.name, "runtime", Runtime)
	if err := p.load(ctx, module, config); err != nil {
		return nil, fmt.Errorf("load policy %s: %w", p.name, errors.Join(err, p.Close()))
	}
	return p, nil
}

func (p *Policy) load(ctx context.Context, module []byte, config Config) error {
	if len(module) > p.limits.Module {
		return fmt.Errorf("%w: more than %d bytes", ErrModule, p.limits.Module)
	}
	sum := sha256.Sum256(module)
	p.digest = hex.EncodeToString(sum[:])
	if config.SHA256 != "" && config.SHA256 != p.digest {
		return fmt.Errorf("%w: its sha256 is %s", ErrDigest, p.digest)
	}
	rewritten, err := meter.Rewrite(module)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModule, err)
	}
	if !slices.Contains(rewritten.Exports, exportMarker) {
		return fmt.Errorf("%w: it does not export %s", ErrABI, exportMarker)
	}
	if err := p.compile(ctx, rewritten, config.CacheDir); err != nil {
		return err
	}
	if err := checkExports(p.module); err != nil {
		return err
	}
	p.stock = newStock(p.newInstance, p.limits)
	return p.describe(ctx, config.Settings)
}

// compile gives the policy a runtime with the compiled module in it.
func (p *Policy) compile(ctx context.Context, m *meter.Module, cacheDir string) error {
	if cacheDir == "" {
		var err error
		if p.cacheDir, err = os.MkdirTemp("", "tesseras-wasm-"); err != nil {
			return fmt.Errorf("%w: %w", ErrCache, err)
		}
		cacheDir = p.cacheDir
	}
	kept, err := openCache(cacheDir)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		folder, err := kept.compiled(ctx, m, p.limits)
		if err != nil {
			return err
		}
		err = p.open(ctx, folder, m)
		if err == nil || again || errors.Is(err, ErrImports) {
			return err
		}
		p.log.Warn("a compiled module could not be used, compiling again", "err", err)
		if err := kept.forget(folder); err != nil {
			return fmt.Errorf("%w: %w", ErrCache, err)
		}
	}
}

// open makes the engine and takes the compiled module from its folder.
func (p *Policy) open(ctx context.Context, folder string, m *meter.Module) (err error) {
	if p.engine, err = newEngine(ctx, folder, p.limits.pages()); err != nil {
		return fmt.Errorf("%w: %w", ErrCache, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.engine.close())
			p.engine = nil
		}
	}()
	offered, err := offer(ctx, p.engine.Runtime)
	if err != nil {
		return err
	}
	if err := checkImports(m.Imports, offered); err != nil {
		return err
	}
	if p.module, err = p.engine.compile(ctx, m); err != nil {
		return fmt.Errorf("%w: %s", ErrCompile, firstLine(err.Error()))
	}
	return nil
}

// checkExports holds a module's exports against the table of the ABI.
func checkExports(m wazero.CompiledModule) error {
	if len(m.ExportedMemories()) == 0 {
		return fmt.Errorf("%w: it exports no memory", ErrABI)
	}
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	answers := []api.ValueType{i64}
	asked := []api.ValueType{i32, i32}
	for name, want := range map[string]struct {
		params, results []api.ValueType
		optional        bool
	}{
		exportMarker:    {},
		exportAlloc:     {[]api.ValueType{i32}, []api.ValueType{i32}, false},
		exportDescribe:  {nil, answers, false},
		exportConfigure: {asked, answers, true},
		exportPlace:     {asked, answers, true},
		exportAdmit:     {asked, answers, true},
		exportRepair:    {asked, answers, true},
	} {
		f, exported := m.ExportedFunctions()[name]
		switch {
		case !exported && want.optional:
		case !exported:
			return fmt.Errorf("%w: it does not export %s", ErrABI, name)
		case !slices.Equal(f.ParamTypes(), want.params) || !slices.Equal(f.ResultTypes(), want.results):
			return fmt.Errorf("%w: %s has another type", ErrABI, name)
		}
	}
	return nil
}

func (p *Policy) exports(name string) bool {
	_, exported := p.module.ExportedFunctions()[name]
	return exported
}

// describe asks the module what it is, checks the operator's settings against that, and hands them to
// a first instance.
func (p *Policy) describe(ctx context.Context, table map[string]any) (err error) {
	first, err := p.startInstance(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			first.close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, p.limits.Start)
	defer cancel()
	encoded, err := first.tell(ctx, exportDescribe)
	if err != nil {
		return err
	}
	if p.description, err = vet.Description(encoded); err != nil {
		return err
	}
	for role, name := range questions {
		if vet.Plays(p.description, role) && !p.exports(name) {
			return fmt.Errorf("%w: it says that it answers for %s, but does not export %s", ErrABI, role, name)
		}
	}
	settings, err := vet.Settings(p.description, table)
	if err != nil {
		return err
	}
	if len(p.description.Config) > 0 && !p.exports(exportConfigure) {
		return fmt.Errorf("%w: it has settings, but does not export %s", ErrABI, exportConfigure)
	}
	if p.exports(exportConfigure) {
		p.settings = settings
		if p.settings == nil {
			p.settings = []byte{}
		}
	}
	if err := p.configure(ctx, first); err != nil {
		return err
	}
	p.stock.begin(first)
	return nil
}

// newInstance starts an instance and hands it the settings.
func (p *Policy) newInstance(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Start)
	defer cancel()
	i, err := p.startInstance(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.configure(ctx, i); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (p *Policy) startInstance(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Start)
	defer cancel()
	log := vet.NewLog(p.log, p.limits.Log)
	module, err := p.engine.InstantiateModule(withLog(ctx, log), p.module, surroundings(log))
	if err != nil {
		return nil, guestError(ctx, "start", err)
	}
	return &instance{module: module, log: log, functions: map[string]api.Function{}}, nil
}

func (p *Policy) configure(ctx context.Context, i *instance) error {
	if p.settings == nil {
		return nil
	}
	response, err := i.ask(ctx, exportConfigure, p.settings)
	if err != nil {
		return err
	}
	return vet.Configured(response)
}
