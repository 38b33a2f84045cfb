package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// field is one key and where its value is kept.
type field struct {
	key   string
	value reflect.Value // settable
}

// fields lists every key of c, in the order of the struct.
func fields(c *Config) []field {
	var all []field
	sections := reflect.ValueOf(c).Elem()
	for i := range sections.NumField() {
		section := sections.Field(i)
		prefix := sections.Type().Field(i).Tag.Get("koanf")
		for j := range section.NumField() {
			key := prefix + "." + section.Type().Field(j).Tag.Get("koanf")
			all = append(all, field{key, section.Field(j)})
		}
	}
	return all
}

// Keys lists every key, in the order of the documentation.
func Keys() []string {
	var keys []string
	for _, f := range fields(new(Config)) {
		keys = append(keys, f.key)
	}
	return keys
}

// assign puts a value of a TOML file into a field.
func (f field) assign(raw any) error {
	switch v := f.value.Addr().Interface().(type) {
	case *string:
		return as(v, raw, "text in quotes")
	case *bool:
		return as(v, raw, "true or false")
	case *int:
		var n int64
		err := as(&n, raw, "a whole number")
		*v = int(n)
		return err
	case *Size:
		if n, ok := raw.(int64); ok && n >= 0 {
			*v = Size(n)
			return nil
		}
		return parsed(v, raw, ParseSize, errSize)
	case *Duration:
		return parsed(v, raw, ParseDuration, errDuration)
	case *[]string:
		list, err := texts(raw)
		*v = list
		return err
	case *[]Plugin:
		list, err := plugins(raw)
		*v = list
		return err
	}
	return fmt.Errorf("a value of this kind cannot be set: %s", f.value.Type())
}

// assignText puts the text of a flag or of an environment variable into a field.
func (f field) assignText(text string) error {
	switch f.value.Interface().(type) {
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		return f.assign(b)
	case int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return errors.New("want a whole number")
		}
		return f.assign(n)
	case []string:
		return f.assign(commaSeparated(text))
	case []Plugin:
		return errors.New("policies can only be listed in the file")
	}
	return f.assign(text)
}

func as[T any](dst *T, raw any, want string) error {
	v, ok := raw.(T)
	if !ok {
		return fmt.Errorf("want %s", want)
	}
	*dst = v
	return nil
}

func parsed[T any](dst *T, raw any, parse func(string) (T, error), want error) error {
	s, ok := raw.(string)
	if !ok {
		return want
	}
	v, err := parse(s)
	*dst = v
	return err
}

func texts(raw any) ([]string, error) {
	items, ok := raw.([]any)
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			break
		}
	}
	if !ok {
		return nil, errors.New(`want a list of texts such as ["a", "b"]`)
	}
	return list, nil
}

func commaSeparated(text string) []any {
	list := []any{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// plain is a field's value as a TOML or JSON file would have it.
func (f field) plain() any {
	switch v := f.value.Interface().(type) {
	case Size:
		return v.String()
	case Duration:
		return v.String()
	case []Plugin:
		tables := make([]map[string]any, len(v))
		for i, p := range v {
			tables[i] = p.table()
		}
		return tables
	default:
		return v
	}
}
