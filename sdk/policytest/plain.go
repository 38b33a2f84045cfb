package policytest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Messages are written for people as JSON: fields by the names of policy.proto, bytes in hexadecimal,
// enums by name, fields with their default value left out.

// field is one field of a message.
type field struct {
	name  string
	value reflect.Value
}

// fields lists the fields of a message in the order of the schema.
func fields(message reflect.Value) (out []field) {
	for i := range message.NumField() {
		for part := range strings.SplitSeq(message.Type().Field(i).Tag.Get("protobuf"), ",") {
			if name, ok := strings.CutPrefix(part, "name="); ok {
				out = append(out, field{name, message.Field(i)})
			}
		}
	}
	return out
}

// plain writes a message as JSON on several lines.
func plain(message any) (json.RawMessage, error) {
	var b bytes.Buffer
	writePlain(&b, reflect.ValueOf(message).Elem())
	var out bytes.Buffer
	err := json.Indent(&out, b.Bytes(), "  ", "  ")
	return out.Bytes(), err
}

func writePlain(b *bytes.Buffer, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		writePlain(b, v.Elem())
	case v.Kind() == reflect.Struct:
		b.WriteByte('{')
		first := true
		for _, f := range fields(v) {
			if f.value.IsZero() {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			fmt.Fprintf(b, "%q:", f.name)
			writePlain(b, f.value)
		}
		b.WriteByte('}')
	case v.Type() == reflect.TypeFor[[]byte]():
		fmt.Fprintf(b, `"%x"`, v.Bytes())
	case v.Kind() == reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			writePlain(b, v.Index(i))
		}
		b.WriteByte(']')
	default:
		writeScalar(b, v)
	}
}

func writeScalar(b *bytes.Buffer, v reflect.Value) {
	if name, ok := enumName(v); ok {
		fmt.Fprintf(b, "%q", name)
		return
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		text = []byte("null") // a text, a number or a switch always can be written
	}
	b.Write(text)
}

// enumName is the name of an enum's value; ok is false for other things and for unnamed values.
func enumName(v reflect.Value) (name string, ok bool) {
	if v.Kind() != reflect.Int32 || v.Type() == reflect.TypeFor[int32]() {
		return "", false
	}
	s, ok := v.Interface().(fmt.Stringer)
	if !ok {
		return "", false
	}
	name = s.String()
	_, err := strconv.Atoi(name)
	return name, err != nil
}

var errPlain = errors.New("not a message")

// fromPlain reads what plain wrote.
func fromPlain(text []byte, message any) error {
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return fmt.Errorf("%w: %w", errPlain, err)
	}
	return readPlain(tree, reflect.ValueOf(message).Elem(), "")
}

func readPlain(tree any, v reflect.Value, at string) error {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return readPlain(tree, v.Elem(), at)
	case v.Kind() == reflect.Struct:
		return readFields(tree, v, at)
	case v.Type() == reflect.TypeFor[[]byte]():
		text, ok := tree.(string)
		b, err := hex.DecodeString(text)
		if !ok || err != nil {
			return misread(at, "bytes in hexadecimal")
		}
		v.SetBytes(b)
	case v.Kind() == reflect.Slice:
		list, ok := tree.([]any)
		if !ok {
			return misread(at, "a list")
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, element := range list {
			if err := readPlain(element, v.Index(i), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	default:
		return readScalar(tree, v, at)
	}
	return nil
}

func readFields(tree any, v reflect.Value, at string) error {
	object, ok := tree.(map[string]any)
	if !ok {
		return misread(at, "an object")
	}
	left := len(object)
	for _, f := range fields(v) {
		value, given := object[f.name]
		if !given {
			continue
		}
		left--
		if err := readPlain(value, f.value, at+"."+f.name); err != nil {
			return err
		}
	}
	if left == 0 {
		return nil
	}
	known := map[string]bool{}
	for _, f := range fields(v) {
		known[f.name] = true
	}
	for name := range object {
		if !known[name] {
			return misread(at+"."+name, "a field of policy.proto")
		}
	}
	return nil
}

func readScalar(tree any, v reflect.Value, at string) error {
	switch tree := tree.(type) {
	case string:
		if v.Kind() == reflect.String {
			v.SetString(tree)
			return nil
		}
		for n := range int64(16) { // no enum of the schema has more
			v := v
			if v.Kind() != reflect.Int32 {
				break
			}
			v.SetInt(n)
			if name, ok := enumName(v); ok && name == tree {
				return nil
			}
		}
		return misread(at, v.Type().String())
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(tree)
			return nil
		}
	case json.Number:
		return readNumber(tree.String(), v, at)
	}
	return misread(at, v.Type().String())
}

func readNumber(text string, v reflect.Value, at string) error {
	switch {
	case v.CanUint():
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
	case v.CanInt():
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	}
	return misread(at, v.Type().String())
}

func misread(at, want string) error {
	return fmt.Errorf("%w: %s: want %s", errPlain, strings.TrimPrefix(at, "."), want)
}
