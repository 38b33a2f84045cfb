package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// ExecPrefix opens the source of a policy that is a program.
const ExecPrefix = "exec:"

var pluginKeys = []string{"name", "role", "source", "sha256", "on_failure", "config"}

// plugins reads a list of [[policy.*]] tables. A missing role is that of a decider, a missing
// on_failure is skip.
func plugins(raw any) ([]Plugin, error) {
	items, ok := raw.([]any)
	if !ok {
		return nil, errors.New("want tables headed by two brackets, such as [[policy.placement]]")
	}
	list := make([]Plugin, len(items))
	for i, item := range items {
		table, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("entry %d: want a table", i+1)
		}
		p, err := plugin(table)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if slices.ContainsFunc(list[:i], func(other Plugin) bool { return other.Name == p.Name }) {
			return nil, fmt.Errorf("entry %d: the name %q is taken by an entry before", i+1, p.Name)
		}
		list[i] = p
	}
	return list, nil
}

func plugin(table map[string]any) (Plugin, error) {
	p := Plugin{Role: RoleDecider, OnFailure: FailSkip}
	texts := map[string]*string{
		"name": &p.Name, "role": &p.Role, "source": &p.Source, "sha256": &p.SHA256, "on_failure": &p.OnFailure,
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		dst, isText := texts[key]
		var err error
		switch {
		case isText:
			err = as(dst, table[key], "text in quotes")
		case key == "config":
			err = as(&p.Config, table[key], "a table")
		default:
			return Plugin{}, fmt.Errorf("unknown key %s, the nearest known one is %s", key, nearest(key, pluginKeys))
		}
		if err != nil {
			return Plugin{}, fmt.Errorf("%s = %s: %w", key, display(table[key]), err)
		}
	}
	return p, p.check()
}

func (p Plugin) check() error {
	for _, c := range []struct {
		ok               bool
		key, value, want string
	}{
		{p.Name != "" && !strings.ContainsAny(p.Name, " \t\n"), "name", p.Name, "a name without spaces"},
		{p.Role == RoleGuard || p.Role == RoleDecider, "role", p.Role, `"guard" or "decider"`},
		{p.Source != "" && p.Source != ExecPrefix, "source", p.Source, "the path of a WASM module, or exec: and the path of a program"},
		{p.SHA256 == "" || isSHA256(p.SHA256), "sha256", p.SHA256, "64 lower-case hexadecimal digits"},
		{p.OnFailure == FailClosed || p.OnFailure == FailSkip, "on_failure", p.OnFailure, `"closed" or "skip"`},
	} {
		if !c.ok {
			return fmt.Errorf("%s = %q: want %s", c.key, c.value, c.want)
		}
	}
	return nil
}

// from makes a source that is a relative path one from the folder of the file that says so.
func (p *Plugin) from(dir string) {
	prefix := ""
	path, program := strings.CutPrefix(p.Source, ExecPrefix)
	if program {
		prefix = ExecPrefix
	}
	if !filepath.IsAbs(path) {
		p.Source = prefix + filepath.Join(dir, path)
	}
}

func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (p Plugin) table() map[string]any {
	t := map[string]any{"name": p.Name, "role": p.Role, "source": p.Source, "on_failure": p.OnFailure}
	if p.SHA256 != "" {
		t["sha256"] = p.SHA256
	}
	if len(p.Config) > 0 {
		t["config"] = p.Config
	}
	return t
}
