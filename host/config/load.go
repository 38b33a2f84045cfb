package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

const envPrefix = "TESSERAS_"

// Sources says where to look. The zero value gives the defaults and what the search path of an empty
// environment has.
type Sources struct {
	File  string   // named by the operator, has to exist; "" looks in SearchPaths
	Env   []string // in the form of os.Environ
	Flags []Flag   // those that were given
}

// Flag is a command line flag that sets a key.
type Flag struct {
	Name  string // such as "listen"
	Key   string // such as "network.listen"
	Value string // lists separated by commas
}

// Loaded is a configuration and how it came to be.
type Loaded struct {
	Config
	File    string            // the file that was read, "" if there was none
	origins map[string]string // by key; a key without one has its default
	sources Sources
}

// Again reads the configuration from where this one came from.
func (l *Loaded) Again() (*Loaded, error) { return Load(l.sources) }

// Error is all that is wrong with a configuration, one complaint for each key.
type Error struct{ Complaints []string }

func (e *Error) Error() string { return "configuration: " + strings.Join(e.Complaints, "; ") }

// Load reads the configuration. What is wrong with it comes as an *Error with every complaint.
func Load(s Sources) (*Loaded, error) {
	path, err := findFile(s.File, SearchPaths(s.Env))
	if err != nil {
		return nil, err
	}
	l := loader{Loaded: Loaded{Config: Default(), File: path, origins: map[string]string{}, sources: s}}
	if path != "" {
		if err := l.file(path); err != nil {
			return nil, err
		}
	}
	l.env(s.Env)
	for _, f := range s.Flags {
		l.setText(f.Key, f.Value, "flag --"+f.Name)
	}
	if len(l.complaints) == 0 {
		l.check()
	}
	if len(l.complaints) > 0 {
		return nil, &Error{l.complaints}
	}
	return &l.Loaded, nil
}

type loader struct {
	Loaded
	complaints []string
}

func (l *loader) file(path string) error {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), toml.Parser()); err != nil {
		var at interface{ Position() (row, column int) }
		if errors.As(err, &at) {
			row, _ := at.Position()
			return &Error{[]string{fmt.Sprintf("%s, line %d: %v", path, row, err)}}
		}
		return fmt.Errorf("configuration file: %w", err)
	}
	values := k.All()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if table, ok := values[key].(map[string]any); ok && len(table) == 0 && isSection(key) {
			continue
		}
		raw := values[key]
		l.set(key, raw, "file "+path, func(f field) error { return f.assign(raw) })
	}
	return l.policiesFrom(path)
}

// policiesFrom finds policies by the place of the file that lists them, wherever the node is started.
func (l *loader) policiesFrom(file string) error {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	for _, list := range [][]Plugin{l.Policy.Placement, l.Policy.Reciprocity, l.Policy.Repair} {
		for i := range list {
			list[i].from(dir)
		}
	}
	return nil
}

func (l *loader) env(environ []string) {
	names := map[string]string{} // key -> variable
	provider := env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key := strings.TrimPrefix(name, envPrefix)
			if !strings.Contains(key, "__") {
				return "", nil // no setting: TESSERAS_DATA_DIR, for one
			}
			key = strings.ToLower(strings.ReplaceAll(key, "__", "."))
			names[key] = name
			return key, value
		},
	})
	k := koanf.New("")
	if err := k.Load(provider, nil); err != nil {
		l.complaints = append(l.complaints, fmt.Sprintf("environment: %v", err))
	}
	values := k.All()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		l.setText(key, fmt.Sprint(values[key]), "environment "+names[key])
	}
}

func (l *loader) setText(key, text, origin string) {
	l.set(key, text, origin, func(f field) error { return f.assignText(text) })
}

func (l *loader) set(key string, value any, origin string, assign func(field) error) {
	f, known := l.find(key)
	if !known {
		l.complaints = append(l.complaints, unknown(key, origin))
		return
	}
	if err := assign(f); err != nil {
		l.complaints = append(l.complaints, fmt.Sprintf("%s = %s (%s): %v", key, display(value), origin, err))
		return
	}
	l.origins[key] = origin
}

func (l *loader) find(key string) (field, bool) {
	all := fields(&l.Config)
	i := slices.IndexFunc(all, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return all[i], true
}

func unknown(key, origin string) string {
	if isSection(key) {
		return fmt.Sprintf("%s (%s) is a table: write [%s]", key, origin, key)
	}
	return fmt.Sprintf("unknown key %s (%s), the nearest known one is %s", key, origin, nearest(key, Keys()))
}

func isSection(key string) bool {
	return slices.ContainsFunc(Keys(), func(k string) bool { return strings.HasPrefix(k, key+".") })
}

// display writes a value into a complaint, cut short where it is long.
func display(value any) string {
	const most = 80
	s := fmt.Sprint(value)
	if text, ok := value.(string); ok {
		s = fmt.Sprintf("%q", text)
	}
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}
