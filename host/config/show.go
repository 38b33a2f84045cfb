package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
)

// Setting is one key of a loaded configuration.
type Setting struct {
	Key    string
	Value  any    // as a TOML or JSON file would have it
	Origin string // "default", or where it was set
}

// Origin says where a key's value was set: "default", "file ...", "environment ..." or "flag ...".
func (l *Loaded) Origin(key string) string {
	if o, ok := l.origins[key]; ok {
		return o
	}
	return "default"
}

// Settings lists every key in the order of the documentation.
func (l *Loaded) Settings() []Setting {
	var all []Setting
	for _, f := range fields(&l.Config) {
		all = append(all, Setting{f.key, f.plain(), l.Origin(f.key)})
	}
	return all
}

// WriteTOML writes the configuration as a file that gives the same when it is loaded. With origins,
// each line says where its value was set.
func (l *Loaded) WriteTOML(w io.Writer, origins bool) error {
	var b strings.Builder
	var tables []Setting // of the current section; they come after its plain keys
	section := ""
	for _, s := range l.Settings() {
		head, name, _ := strings.Cut(s.Key, ".")
		if head != section {
			writeTables(&b, tables, origins)
			tables, section = nil, head
			fmt.Fprintf(&b, "%s[%s]\n", separator(&b), section)
		}
		if list, ok := s.Value.([]map[string]any); ok && len(list) > 0 {
			tables = append(tables, s)
			continue
		}
		fmt.Fprintf(&b, "%s = %s%s\n", name, literal(s.Value), comment(s, origins))
	}
	writeTables(&b, tables, origins)
	_, err := io.WriteString(w, b.String())
	return err
}

func separator(b *strings.Builder) string {
	if b.Len() == 0 {
		return ""
	}
	return "\n"
}

func comment(s Setting, origins bool) string {
	if !origins {
		return ""
	}
	return " # " + s.Origin
}

func literal(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []map[string]any:
		return "[]"
	}
	return fmt.Sprint(value)
}

// quote writes a TOML string; every escape of JSON is one of TOML.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string and a strings.Builder never fail
	return strings.TrimSuffix(b.String(), "\n")
}

// writeTables writes lists of policies, each one a table [[policy.placement]].
func writeTables(b *strings.Builder, lists []Setting, origins bool) {
	for _, list := range lists {
		for _, table := range list.Value.([]map[string]any) {
			fmt.Fprintf(b, "\n[[%s]]%s\n", list.Key, comment(list, origins))
			for _, key := range pluginKeys {
				if text, ok := table[key].(string); ok {
					fmt.Fprintf(b, "%s = %s\n", key, quote(text))
				}
			}
			writeConfig(b, list.Key, table["config"])
		}
	}
}

// writeConfig writes a plugin's own table, whose headers the encoder knows only from [config] on.
func writeConfig(b *strings.Builder, key string, config any) {
	if config == nil {
		return
	}
	text, err := toml.Parser().Marshal(map[string]any{"config": config})
	if err != nil {
		fmt.Fprintf(b, "# config cannot be shown: %v\n", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		for _, bracket := range []string{"[[config", "[config"} {
			if rest, ok := strings.CutPrefix(line, bracket); ok {
				line = strings.TrimSuffix(bracket, "config") + key + ".config" + rest
				break
			}
		}
		b.WriteString(line)
	}
}
