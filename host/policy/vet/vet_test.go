package vet

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

func encoded(t testing.TB, m interface{ MarshalVT() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDescription(t *testing.T) {
	good := func() *sdk.Description {
		return &sdk.Description{Name: "law", Version: "1", Places: true, Guard: true, Config: []*sdk.ConfigKey{{Key: "min", Kind: "int"}}}
	}
	if d, err := Description(encoded(t, good())); err != nil || d.Name != "law" || !Plays(d, sdk.RolePlacement) || Plays(d, sdk.RoleRepair) || Plays(d, "cooking") {
		t.Errorf("%v, %v", d, err)
	}
	for name, spoil := range map[string]func(*sdk.Description){
		"no name":          func(d *sdk.Description) { d.Name = "" },
		"unprintable name": func(d *sdk.Description) { d.Name = "a\x1b[31m" },
		"long name":        func(d *sdk.Description) { d.Name = strings.Repeat("x", longestName+1) },
		"no version":       func(d *sdk.Description) { d.Version = "" },
		"no role":          func(d *sdk.Description) { d.Places = false },
		"no place":         func(d *sdk.Description) { d.Guard = false },
		"many keys":        func(d *sdk.Description) { d.Config = slices.Repeat(d.Config, mostKeys+1) },
		"a key twice":      func(d *sdk.Description) { d.Config = slices.Repeat(d.Config, 2) },
		"unknown kind":     func(d *sdk.Description) { d.Config[0].Kind = "float" },
		"key without name": func(d *sdk.Description) { d.Config[0].Key = "" },
		"too long":         func(d *sdk.Description) { d.Config[0].Help = strings.Repeat("x", longestDescription) },
	} {
		d := good()
		spoil(d)
		if _, err := Description(encoded(t, d)); !errors.Is(err, ErrDescription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Description([]byte{0xff}); !errors.Is(err, ErrDescription) {
		t.Errorf("garbage: %v", err)
	}
}

func description() *sdk.Description {
	return &sdk.Description{Config: []*sdk.ConfigKey{
		{Key: "when", Kind: "duration"},
		{Key: "min", Kind: "int", DefaultValue: "2"},
		{Key: "strict", Kind: "bool"},
		{Key: "free", Kind: "size", DefaultValue: "1GiB"},
		{Key: "country.of", Kind: "text", List: true},
		{Key: "mode", Kind: "text", Allowed: []string{"day", "night"}},
	}}
}

func TestSettings(t *testing.T) {
	b, err := Settings(description(), map[string]any{
		"min": int64(3), "strict": true, "when": "1d12h", "mode": "night",
		"country": map[string]any{"of": []any{"CH", "DE"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var r sdk.ConfigureRequest
	if err := r.UnmarshalVT(b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.Settings {
		got = append(got, s.Key+"="+strings.Join(s.Values, ","))
	}
	want := []string{"country.of=CH,DE", "free=1073741824", "min=3", "mode=night", "strict=true", "when=129600000"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if b, err := Settings(&sdk.Description{}, nil); err != nil || len(b) != 0 {
		t.Errorf("no settings: %x, %v", b, err)
	}
}

// TestWrongSettings: the error names the key and what it may be.
func TestWrongSettings(t *testing.T) {
	for _, tt := range []struct {
		key   string
		table map[string]any
		text  string
	}{
		{"speed", map[string]any{"speed": 1}, "country.of, free, min, mode, strict, when"},
		{"country.from", map[string]any{"country": map[string]any{"from": "CH"}}, "no such setting"},
		{"min", map[string]any{"min": "many"}, `"many" is not a whole number`},
		{"min", map[string]any{"min": 1.5}, "whole number"},
		{"min", map[string]any{"min": []any{1, 2}}, "one value"},
		{"strict", map[string]any{"strict": "yes"}, "true or false"},
		{"free", map[string]any{"free": "a lot"}, "300MiB"},
		{"when", map[string]any{"when": "soon"}, "24h"},
		{"mode", map[string]any{"mode": "dusk"}, "day, night"},
		{"country.of", map[string]any{"country": map[string]any{"of": []any{map[string]any{}}}}, "a list holds"},
	} {
		var wrong *SettingError
		_, err := Settings(description(), tt.table)
		if !errors.As(err, &wrong) || !errors.Is(err, ErrSettings) || wrong.Key != tt.key || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%v: %v, want %s: %s", tt.table, err, tt.key, tt.text)
		}
	}
}

func TestConfigured(t *testing.T) {
	if err := Configured(encoded(t, &sdk.ConfigureResponse{Status: sdk.Status_OK})); err != nil {
		t.Error(err)
	}
	for text, response := range map[string][]byte{
		"settings of the policy: min: at least 2": encoded(t, &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "min", Reason: "at least 2"}),
		"refused without a reason":                nil,
		"its answer is none":                      {0xff},
	} {
		if err := Configured(response); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})), 3000)
	w := l.Writer(slog.LevelInfo)
	write := func(s string) {
		if n, err := io.WriteString(w, s); err != nil || n != len(s) {
			t.Fatal(n, err)
		}
	}
	write("[WARN] care\nbegun, ")
	write("ended\n\n[DEBUG] not kept\n")
	write("red \x1b[31m\n")
	l.Line(slog.LevelError, []byte(strings.Repeat("x", 2000)))
	if l.Cut() != 0 || !l.Enabled(slog.LevelInfo) || l.Enabled(slog.LevelDebug) {
		t.Errorf("cut %d", l.Cut())
	}
	write(strings.Repeat("flood\n", 100))
	if l.Cut() == 0 || l.Enabled(slog.LevelInfo) {
		t.Error("nothing was cut")
	}
	cut := l.Cut()
	l.Next()
	write("again\n")
	want := "level=WARN msg=care\nlevel=INFO msg=\"begun, ended\"\nlevel=INFO msg=\"red ?[31m\"\nlevel=ERROR msg=" + strings.Repeat("x", 1024) + "\n"
	got := b.String()
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "level=INFO msg=again\n") || !strings.Contains(got, "the policy's log was cut") {
		t.Errorf("%s", got)
	}
	if len(got) > 3000+200 || cut < 100 {
		t.Errorf("%d bytes logged, %d cut", len(got), cut)
	}
}

// TestLogOfOneEndlessLine keeps its beginning and counts the rest.
func TestLogOfOneEndlessLine(t *testing.T) {
	l := NewLog(slog.New(slog.DiscardHandler), 10_000)
	w := l.Writer(slog.LevelInfo)
	for range 100 {
		if _, err := w.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.line) > longestLine || l.Cut() < 80_000 {
		t.Errorf("%d bytes kept, %d cut", len(w.line), l.Cut())
	}
}

func TestPrivateDir(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "b")
	for range 2 {
		if err := PrivateDir(dir); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(base, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, open, "/dev/null/x"} {
		if err := PrivateDir(path); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
}
