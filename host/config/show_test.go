package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const shipped = "../../configs"

func TestShippedDefaultsAreTheDefaults(t *testing.T) {
	path := filepath.Join(shipped, "tesd.toml")
	l, err := Load(Sources{File: path})
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(l.Config, want) {
		t.Errorf("tesd.toml gives\n%+v\nthe defaults are\n%+v", l.Config, want)
	}
	for _, key := range Keys() {
		if l.Origin(key) == "default" {
			t.Errorf("tesd.toml does not have %s", key)
		}
	}
}

func TestShippedDefaultsAreExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(shipped, "tesd.toml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		name, _, isKey := strings.Cut(line, " = ")
		if !isKey || strings.HasPrefix(line, "#") {
			continue
		}
		above := lines[i-1]
		grouped := strings.Contains(above, " = ") // the lists of policies share their explanation
		if !strings.HasPrefix(above, "# ") && !grouped {
			t.Errorf("%s has no explanation above it", name)
		}
	}
}

func TestShippedFilesLoad(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shipped, "*.toml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, f := range files {
		l, err := Load(Sources{File: f})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if name := filepath.Base(f); name != "tesd.toml" && reflect.DeepEqual(l.Config, Default()) {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestWrittenConfigLoadsAgain(t *testing.T) {
	text := `
[network]
bootstrap = ["a.example:1", "b.example:2"]
[institutional]
operator = "quotes \" and \u0001 controls"
[[policy.placement]]
name = "law"
role = "guard"
source = "law.wasm"
sha256 = "` + strings.Repeat("0a", 32) + `"
on_failure = "closed"
[policy.placement.config]
countries = 2
[policy.placement.config.names]
a = ["x", "y"]
[[policy.placement.config.rows]]
n = 1
[[policy.placement]]
name = "ours"
source = "exec:/usr/lib/ours"
[[policy.repair]]
name = "night"
source = "night.wasm"
`
	first, err := Load(Sources{File: writeConfigFile(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, origins := range []bool{false, true} {
		var b strings.Builder
		if err := first.WriteTOML(&b, origins); err != nil {
			t.Fatal(err)
		}
		again, err := Load(Sources{File: writeConfigFile(t, b.String())})
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if !reflect.DeepEqual(again.Config, first.Config) {
			t.Errorf("got %+v, want %+v, from\n%s", again.Config, first.Config, b.String())
		}
		if origins != strings.Contains(b.String(), `pow_bits = 16 # default`) {
			t.Errorf("origins %v, in\n%s", origins, b.String())
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Network.PowBits = -1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "network.pow_bits = -1") {
		t.Errorf("got %v", err)
	}
}
