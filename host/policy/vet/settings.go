package vet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/sdk"
)

// The kinds of settings, as ConfigKey.Kind names them.
const (
	kindText     = "text"
	kindInt      = "int"
	kindBool     = "bool"
	kindSize     = "size"     // reaches the policy as a number of bytes
	kindDuration = "duration" // reaches the policy as a number of milliseconds

	kindNames = "text, int, bool, size, duration"
)

var kinds = map[string]bool{kindText: true, kindInt: true, kindBool: true, kindSize: true, kindDuration: true}

// SettingError names the setting at fault, and what it may be.
type SettingError struct {
	Key    string
	Detail string
}

func (e *SettingError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%v: %s", ErrSettings, e.Detail)
	}
	return fmt.Sprintf("%v: %s: %s", ErrSettings, e.Key, e.Detail)
}

// Unwrap makes it an ErrSettings.
func (e *SettingError) Unwrap() error { return ErrSettings }

// Settings checks the operator's table against what the policy described, fills in its defaults and
// encodes the ConfigureRequest: keys of inner tables joined by dots, sorted. The error is a
// *SettingError.
func Settings(d *sdk.Description, table map[string]any) ([]byte, error) {
	given := map[string][]string{}
	if err := flatten(given, "", table); err != nil {
		return nil, err
	}
	request := &sdk.ConfigureRequest{}
	for _, k := range slices.SortedFunc(slices.Values(d.GetConfig()), func(a, b *sdk.ConfigKey) int { return strings.Compare(a.Key, b.Key) }) {
		values, ok := given[k.Key]
		delete(given, k.Key)
		if !ok && k.DefaultValue == "" {
			continue
		}
		if !ok {
			values = []string{k.DefaultValue}
		}
		checked, err := check(k, values)
		if err != nil {
			return nil, err
		}
		request.Settings = append(request.Settings, &sdk.Setting{Key: k.Key, Values: checked})
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		return nil, &SettingError{Clean(key, longestName), "the policy knows no such setting; it has " + known(d)}
	}
	return request.MarshalVT()
}

func known(d *sdk.Description) string {
	if len(d.GetConfig()) == 0 {
		return "none"
	}
	keys := make([]string, len(d.Config))
	for i, k := range d.Config {
		keys[i] = k.Key
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// flatten writes a table as lines of text, which is what crosses to the policy.
func flatten(into map[string][]string, prefix string, table map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key := prefix + name
		switch v := table[name].(type) {
		case map[string]any:
			if err := flatten(into, key+".", v); err != nil {
				return err
			}
			continue
		case []any:
			values := make([]string, len(v))
			for i, element := range v {
				text, ok := plain(element)
				if !ok {
					return &SettingError{key, "a list holds texts, numbers or true and false"}
				}
				values[i] = text
			}
			into[key] = values
		default:
			text, ok := plain(v)
			if !ok {
				return &SettingError{key, "want a text, a whole number, true or false, or a list of them"}
			}
			into[key] = []string{text}
		}
	}
	return nil
}

// plain writes one value as text. Floats are not among them: policies count in integers.
func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}

// check holds the values of one key against its description.
func check(k *sdk.ConfigKey, values []string) ([]string, error) {
	if !k.List && len(values) != 1 {
		return nil, &SettingError{k.Key, fmt.Sprintf("takes one value, not %d", len(values))}
	}
	checked := make([]string, len(values))
	for i, v := range values {
		if len(k.Allowed) > 0 && !slices.Contains(k.Allowed, v) {
			return nil, &SettingError{k.Key, fmt.Sprintf("%q is not one of %s", Clean(v, longestName), strings.Join(k.Allowed, ", "))}
		}
		text, want := read(k.Kind, v)
		if want != "" {
			return nil, &SettingError{k.Key, fmt.Sprintf("%q is not %s", Clean(v, longestName), want)}
		}
		checked[i] = text
	}
	return checked, nil
}

// read turns a value into the text that the policy gets; want tells what was expected where it is
// something else.
func read(kind, v string) (text, want string) {
	switch kind {
	case kindInt:
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			return "", "a whole number"
		}
	case kindBool:
		if v != "true" && v != "false" {
			return "", "true or false"
		}
	case kindSize:
		size, err := config.ParseSize(v)
		if err != nil {
			return "", "a size such as 300MiB"
		}
		return strconv.FormatInt(int64(size), 10), ""
	case kindDuration:
		d, err := config.ParseDuration(v)
		if err != nil {
			return "", "a duration such as 90s or 24h"
		}
		return strconv.FormatInt(d.Std().Milliseconds(), 10), ""
	}
	return v, ""
}

// Configured reads a policy's answer to its settings. The error is a *SettingError.
func Configured(response []byte) error {
	var r sdk.ConfigureResponse
	if err := r.UnmarshalVT(response); err != nil {
		return &SettingError{Detail: "its answer is none: " + err.Error()}
	}
	if r.Status == sdk.Status_OK {
		return nil
	}
	reason := Clean(r.Reason, longestReason)
	if reason == "" {
		reason = "refused without a reason"
	}
	return &SettingError{Clean(r.Key, longestName), reason}
}
