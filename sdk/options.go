package sdk

import (
	"slices"
	"strconv"
	"strings"
)

// Options bind the settings of a policy to its variables, the way package flag does for a program:
//
//	func (g *guard) options() *sdk.Options {
//		return new(sdk.Options).
//			Int("min_countries", &g.minCountries, 2, "fewest countries a tessera is spread over").
//			Texts("countries", &g.countries, "countries that may hold fragments; none means all")
//	}
//
//	func (g *guard) Describe() *sdk.Description {
//		return &sdk.Description{Name: "law", Version: "1", Guard: true, Config: g.options().Keys()}
//	}
//
//	func (g *guard) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
//		return g.options().Configure(r)
//	}
//
// A key that is named twice is an error of the program, which the host finds when it loads the policy.
type Options struct {
	options []option
	checks  []check
}

// option is one key and how its values are taken in; set returns what they should have been, "" where
// they are right.
type option struct {
	key   *ConfigKey
	reset func()
	set   func(values []string) (want string)
}

// check is a condition that a setting's value must keep.
type check struct {
	key   string
	wrong func() string
}

// Int is a whole number.
func (o *Options) Int(key string, value *int64, standard int64, help string) *Options {
	return o.add(
		&ConfigKey{Key: key, Kind: "int", DefaultValue: strconv.FormatInt(standard, 10), Help: help},
		func() { *value = standard },
		one(func(text string) bool { return parse(value, text, parseInt) }, "a whole number"))
}

// Bool is true or false.
func (o *Options) Bool(key string, value *bool, standard bool, help string) *Options {
	return o.add(
		&ConfigKey{Key: key, Kind: "bool", DefaultValue: strconv.FormatBool(standard), Help: help},
		func() { *value = standard },
		one(func(text string) bool { *value = text == "true"; return text == "true" || text == "false" }, "true or false"))
}

// Size is a number of bytes; the operator writes "300MiB".
func (o *Options) Size(key string, bytes *uint64, standard uint64, help string) *Options {
	return o.add(
		&ConfigKey{Key: key, Kind: "size", DefaultValue: strconv.FormatUint(standard, 10), Help: help},
		func() { *bytes = standard },
		one(func(text string) bool { return parse(bytes, text, parseUint) }, "a number of bytes"))
}

// Duration is a number of milliseconds; the operator writes "90s" or "24h".
func (o *Options) Duration(key string, ms *uint64, standard uint64, help string) *Options {
	return o.add(
		&ConfigKey{Key: key, Kind: "duration", DefaultValue: strconv.FormatUint(standard, 10) + "ms", Help: help},
		func() { *ms = standard },
		one(func(text string) bool { return parse(ms, text, parseUint) }, "a number of milliseconds"))
}

// Text is any text, or one of those that are allowed where some are named.
func (o *Options) Text(key string, value *string, standard, help string, allowed ...string) *Options {
	want := "a text"
	if len(allowed) > 0 {
		want = "one of " + strings.Join(allowed, ", ")
	}
	return o.add(
		&ConfigKey{Key: key, Kind: "text", DefaultValue: standard, Allowed: allowed, Help: help},
		func() { *value = standard },
		one(func(text string) bool { *value = text; return len(allowed) == 0 || slices.Contains(allowed, text) }, want))
}

// Texts is a list of texts, empty by default.
func (o *Options) Texts(key string, values *[]string, help string) *Options {
	return o.add(
		&ConfigKey{Key: key, Kind: "text", List: true, Help: help},
		func() { *values = nil },
		func(texts []string) string { *values = slices.Clone(texts); return "" })
}

// Check holds the last key to a condition. wrong returns what its value should have been, "" where it
// is right; it is called when all settings are in place.
func (o *Options) Check(wrong func() string) *Options {
	o.checks = append(o.checks, check{o.options[len(o.options)-1].key.Key, wrong})
	return o
}

func (o *Options) add(key *ConfigKey, reset func(), set func([]string) string) *Options {
	o.options = append(o.options, option{key, reset, set})
	return o
}

// Keys are the settings for a Description.
func (o *Options) Keys() []*ConfigKey {
	keys := make([]*ConfigKey, len(o.options))
	for i, option := range o.options {
		keys[i] = option.key
	}
	return keys
}

// Configure fills the variables in: defaults first, then what the operator set. The answer is OK, or
// INVALID with the key and what it may be.
func (o *Options) Configure(request *ConfigureRequest) *ConfigureResponse {
	for _, option := range o.options {
		option.reset()
	}
	for _, setting := range request.GetSettings() {
		i := slices.IndexFunc(o.options, func(o option) bool { return o.key.Key == setting.GetKey() })
		if i < 0 {
			return invalid(setting.GetKey(), "there is no such setting")
		}
		if want := o.options[i].set(setting.GetValues()); want != "" {
			return invalid(setting.GetKey(), "want "+want)
		}
	}
	for _, check := range o.checks {
		if want := check.wrong(); want != "" {
			return invalid(check.key, "want "+want)
		}
	}
	return &ConfigureResponse{Status: Status_OK}
}

func invalid(key, reason string) *ConfigureResponse {
	return &ConfigureResponse{Status: Status_INVALID, Key: key, Reason: reason}
}

// one takes a single value in.
func one(set func(text string) bool, want string) func([]string) string {
	return func(values []string) string {
		if len(values) != 1 || !set(values[0]) {
			return want
		}
		return ""
	}
}

// parse fills a variable in, and leaves it alone where the text is something else.
func parse[T any](value *T, text string, read func(string) (T, error)) bool {
	n, err := read(text)
	if err == nil {
		*value = n
	}
	return err == nil
}

func parseInt(text string) (int64, error)   { return strconv.ParseInt(text, 10, 64) }
func parseUint(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }
