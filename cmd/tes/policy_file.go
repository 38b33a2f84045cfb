package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	program "github.com/tesseras/tesseras/host/policy/process"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/sdk"
)

// execPrefix opens the source of a policy that is a program.
const execPrefix = "exec:"

// loadedPolicy is a policy that this process took into use, from a module or a program.
type loadedPolicy interface {
	policy.Policy
	policy.Digester
	io.Closer
	Description() *sdk.Description
}

// loadPolicy takes a policy into use: FILE.wasm, or exec:PROGRAM.
func loadPolicy(ctx context.Context, source, name string, settings map[string]any, log *slog.Logger) (p loadedPolicy, err error) {
	path, isProgram := strings.CutPrefix(source, execPrefix)
	if isProgram {
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		p, err = program.Load(ctx, path, program.Config{Name: name, Settings: settings, Log: log})
	} else {
		cache, _ := wasm.DefaultCacheDir() // a user without one compiles each time anew
		p, err = wasm.LoadFile(ctx, source, wasm.Config{Name: name, Settings: settings, CacheDir: cache, Log: log})
	}
	if err == nil {
		return p, nil
	}
	hint := "sdk/ABI.md says what a module exports and may import"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "tes policy build DIR makes one from Go source"
	case errors.Is(err, wasm.ErrModule) && !isProgram:
		hint = "a program is named exec:" + source
	case isProgram:
		hint = "a program has to serve the policy as sdk/process does"
	}
	return nil, localapi.Fail(localapi.CodeUsage, hint, err)
}

// policyName is what a policy from a file is called where nobody gave it a name.
func policyName(source string) string {
	name := filepath.Base(strings.TrimPrefix(source, execPrefix))
	return strings.TrimSuffix(name, ".wasm")
}

// settingsOf reads settings given as key=value; a key given several times is a list.
func settingsOf(given []string) (map[string]any, error) {
	values := map[string][]any{}
	for _, pair := range given {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, localapi.Fail(localapi.CodeUsage, "write --set key=value", fmt.Errorf("--set %s: no key and value", pair))
		}
		values[key] = append(values[key], value)
	}
	table := map[string]any{}
	for key, list := range values {
		if table[key] = any(list); len(list) == 1 {
			table[key] = list[0]
		}
	}
	return table, nil
}

// partsOf are the parts a policy may play, by its description.
func partsOf(d *sdk.Description) (parts []policy.Part) {
	if d.GetGuard() {
		parts = append(parts, policy.PartGuard)
	}
	if d.GetDecider() {
		parts = append(parts, policy.PartDecider)
	}
	return parts
}
