package sdk

import (
	"slices"
	"strings"
	"testing"
)

// settings are all kinds of them.
type settings struct {
	n     int64
	on    bool
	bytes uint64
	ms    uint64
	mode  string
	name  string
	list  []string
}

func (s *settings) options() *Options {
	return new(Options).
		Int("n", &s.n, 2, "a number").
		Check(func() string {
			if s.n < 1 {
				return "at least 1"
			}
			return ""
		}).
		Bool("on", &s.on, true, "a switch").
		Size("bytes", &s.bytes, 4096, "a size").
		Duration("ms", &s.ms, 90_000, "a time").
		Text("mode", &s.mode, "day", "when", "day", "night").
		Text("name", &s.name, "", "any").
		Texts("list", &s.list, "several")
}

func configure(s *settings, pairs ...string) *ConfigureResponse {
	r := &ConfigureRequest{}
	for i := 0; i < len(pairs); i += 2 {
		r.Settings = append(r.Settings, &Setting{Key: pairs[i], Values: strings.Split(pairs[i+1], ",")})
	}
	return s.options().Configure(r)
}

func TestOptions(t *testing.T) {
	var s settings
	if r := configure(&s); r.Status != Status_OK || s.n != 2 || !s.on || s.bytes != 4096 || s.ms != 90_000 || s.mode != "day" || s.list != nil {
		t.Errorf("%v, %+v", r, s)
	}
	r := configure(&s, "bytes", "18446744073709551615", "list", "a,b", "mode", "night", "ms", "0", "n", "-9223372036854775808", "name", "x", "on", "false")
	if r.Status != Status_INVALID || r.Key != "n" || r.Reason != "want at least 1" {
		t.Errorf("%v", r)
	}
	if r := configure(&s, "list", "a,b", "mode", "night", "n", "7", "name", "x", "on", "false"); r.Status != Status_OK || s.n != 7 || s.on || s.mode != "night" || s.name != "x" || !slices.Equal(s.list, []string{"a", "b"}) {
		t.Errorf("%v, %+v", r, s)
	}
	// What was set before does not stay.
	if r := configure(&s); r.Status != Status_OK || s.n != 2 || s.list != nil {
		t.Errorf("%v, %+v", r, s)
	}
}

func TestOptionsRefuse(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"n", "many", "a whole number"},
		{"n", "1,2", "a whole number"},
		{"on", "yes", "true or false"},
		{"bytes", "-1", "a number of bytes"},
		{"ms", "1h", "a number of milliseconds"},
		{"mode", "dusk", "one of day, night"},
		{"speed", "1", "no such setting"},
	} {
		if r := configure(new(settings), tt.key, tt.value); r.Status != Status_INVALID || r.Key != tt.key || !strings.Contains(r.Reason, tt.want) {
			t.Errorf("%s = %s: %v", tt.key, tt.value, r)
		}
	}
}

func TestOptionsDescribe(t *testing.T) {
	var got []string
	for _, k := range new(settings).options().Keys() {
		got = append(got, k.Key+" "+k.Kind+" "+k.DefaultValue)
		if k.Help == "" {
			t.Errorf("%s has no help", k.Key)
		}
	}
	want := []string{"n int 2", "on bool true", "bytes size 4096", "ms duration 90000ms", "mode text day", "name text ", "list text "}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
