package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is another than the default value of a key, in a file and as the text of a flag or variable.
type sample struct {
	toml, text string
	want       any
}

var samples = map[string]sample{
	"network.listen":                   {`"127.0.0.1:0"`, "127.0.0.1:0", "127.0.0.1:0"},
	"network.advertise":                {`"n.example:4433"`, "n.example:4433", "n.example:4433"},
	"network.bootstrap":                {`["a.example:1", "b.example:2"]`, "a.example:1, b.example:2", []string{"a.example:1", "b.example:2"}},
	"network.pow_bits":                 {`8`, "8", 8},
	"storage.sync":                     {`"normal"`, "normal", SyncNormal},
	"storage.min_free":                 {`"2GiB"`, "2GiB", 2 * GiB},
	"storage.lock_wait":                {`"1s"`, "1s", Duration(time.Second)},
	"replication.replicas":             {`3`, "3", 3},
	"replication.per_subnet":           {`0`, "0", 0},
	"replication.strict":               {`true`, "true", true},
	"replication.concurrent_transfers": {`9`, "9", 9},
	"replication.deficit_allowance":    {`"1MiB"`, "1MiB", MiB},
	"replication.peer_limit":           {`0`, "0", Size(0)},
	"replication.repair_interval":      {`"3h"`, "3h", Duration(3 * time.Hour)},
	"replication.repair_jitter":        {`"1m"`, "1m", Duration(time.Minute)},
	"replication.proofs_per_holder":    {`1`, "1", 1},
	"replication.repair_bandwidth":     {`"1MB"`, "1MB", Size(1000000)},
	"maintenance.scrub_period":         {`"7d"`, "7d", Duration(7 * dayLength)},
	"maintenance.scrub_rate":           {`"2MiB"`, "2MiB", 2 * MiB},
	"performance.index_cache":          {`"8MiB"`, "8MiB", 8 * MiB},
	"performance.fragment_cache":       {`"0"`, "0", Size(0)},
	"performance.max_connections":      {`10`, "10", 10},
	"performance.idle_timeout":         {`"5s"`, "5s", Duration(5 * time.Second)},
	"performance.reaper_interval":      {`"1s"`, "1s", Duration(time.Second)},
	"policy.defaults":                  {`false`, "false", false},
	"policy.decisions_kept":            {`"1MiB"`, "1MiB", MiB},
	"policy.placement":                 {aPolicy, "", wantPolicy},
	"policy.reciprocity":               {aPolicy, "", wantPolicy},
	"policy.repair":                    {aPolicy, "", wantPolicy},
	"api.group":                        {`"memories"`, "memories", "memories"},
	"metrics.listen":                   {`"127.0.0.1:0"`, "127.0.0.1:0", "127.0.0.1:0"},
	"institutional.domain":             {`"library.example"`, "library.example", "library.example"},
	"institutional.pledge":             {`"1TiB"`, "1TiB", TiB},
	"institutional.operator":           {`"them"`, "them", "them"},
	"log.level":                        {`"debug"`, "debug", "debug"},
	"log.format":                       {`"json"`, "json", "json"},
}

const aPolicy = `[{name = "ours", source = "/policies/ours.wasm", config = {min = 2}}]`

var wantPolicy = []Plugin{{
	Name: "ours", Role: RoleDecider, Source: "/policies/ours.wasm", OnFailure: FailSkip, Config: map[string]any{"min": int64(2)},
}}

func TestEveryKeyFromEverySource(t *testing.T) {
	for _, key := range Keys() {
		t.Run(key, func(t *testing.T) {
			s, ok := samples[key]
			if !ok {
				t.Fatal("the key has no sample here")
			}
			section, name, _ := strings.Cut(key, ".")
			path := writeConfigFile(t, fmt.Sprintf("[%s]\n%s = %s\n", section, name, s.toml))
			expect(t, Sources{File: path}, key, s.want, "file "+path)
			if s.text == "" {
				return
			}
			variable := "TESSERAS_" + strings.ToUpper(section) + "__" + strings.ToUpper(name)
			env, flags := []string{variable + "=" + s.text}, []Flag{{"f", key, s.text}}
			empty := writeConfigFile(t, "") // and not what this machine may have
			expect(t, Sources{File: empty, Env: env}, key, s.want, "environment "+variable)
			expect(t, Sources{File: empty, Flags: flags}, key, s.want, "flag --f")
		})
	}
	if len(samples) != len(Keys()) {
		t.Errorf("%d samples for %d keys", len(samples), len(Keys()))
	}
}

// expect loads and wants key alone to differ from the defaults.
func expect(t *testing.T, s Sources, key string, want any, origin string) {
	t.Helper()
	l, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	defaults := Default()
	for i, f := range fields(&l.Config) {
		got, standard := f.value.Interface(), fields(&defaults)[i].value.Interface()
		switch {
		case f.key == key && !reflect.DeepEqual(got, want):
			t.Errorf("%s: %s = %v, want %v", origin, key, got, want)
		case f.key == key && reflect.DeepEqual(got, standard):
			t.Errorf("%s: the sample is the default", key)
		case f.key != key && !reflect.DeepEqual(got, standard):
			t.Errorf("%s: %s = %v, want its default %v", origin, f.key, got, standard)
		}
	}
	if l.Origin(key) != origin {
		t.Errorf("origin of %s is %q, want %q", key, l.Origin(key), origin)
	}
}

func TestPrecedence(t *testing.T) {
	path := writeConfigFile(t, "[network]\nlisten = \":1\"\n[metrics]\nlisten = \":1\"\n[log]\nlevel = \"warn\"\n")
	l, err := Load(Sources{
		File:  path,
		Env:   []string{"TESSERAS_NETWORK__LISTEN=:2", "TESSERAS_METRICS__LISTEN=:2", "TESSERAS_DATA_DIR=/elsewhere"},
		Flags: []Flag{{"listen", "network.listen", ":3"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{l.Network.Listen, l.Metrics.Listen, l.Log.Level, l.Log.Format}
	if want := []string{":3", ":2", "warn", "text"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if l.File != path {
		t.Errorf("file %q, want %q", l.File, path)
	}
}

func TestComplaintsNameKeyAndValue(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		env  string
		want []string
	}{
		"unknown key":            {"[network]\nlisten_addr = 1", "", []string{"unknown key network.listen_addr", "config.toml", "nearest known one is network.listen"}},
		"unknown section":        {"[netwrk]\nlisten = \":1\"", "", []string{"unknown key netwrk.listen", "is network.listen"}},
		"wrong section":          {"[storage]\nreplicas = 3", "", []string{"storage.replicas", "is replication.replicas"}},
		"no section":             {"pow_bits = 3", "", []string{"unknown key pow_bits", "is network.pow_bits"}},
		"unknown variable":       {"", "TESSERAS_NETWORK__LISTN=:1", []string{"unknown key network.listn", "TESSERAS_NETWORK__LISTN", "is network.listen"}},
		"section as value":       {"network = 3", "", []string{"network", "is a table: write [network]"}},
		"unknown empty table":    {"[nothing]", "", []string{"unknown key nothing"}},
		"kind":                   {"[network]\npow_bits = \"many\"", "", []string{`network.pow_bits = "many"`, "want a whole number"}},
		"kind from variable":     {"", "TESSERAS_REPLICATION__STRICT=often", []string{`replication.strict = "often"`, "want true or false"}},
		"list from variable":     {"", "TESSERAS_POLICY__REPAIR=x", []string{"policy.repair", "only be listed in the file"}},
		"text for list":          {"[network]\nbootstrap = \"a:1\"", "", []string{"network.bootstrap", "want a list"}},
		"size":                   {"[storage]\nmin_free = \"lots\"", "", []string{`storage.min_free = "lots"`, "want a size"}},
		"negative size":          {"[storage]\nmin_free = -1", "", []string{"storage.min_free = -1", "want a size"}},
		"duration":               {"[storage]\nlock_wait = 5", "", []string{"storage.lock_wait = 5", "want a duration"}},
		"range":                  {"[network]\npow_bits = 99", "", []string{"network.pow_bits = 99", "want 0 to 32"}},
		"choice":                 {"[storage]\nsync = \"never\"", "", []string{`storage.sync = "never"`, "full, normal"}},
		"address":                {"[network]\nlisten = \"4433\"", "", []string{`network.listen = "4433"`, "want host:port"}},
		"bootstrap":              {"[network]\nbootstrap = [\"xyz@a:1\"]", "", []string{"network.bootstrap", `"xyz@a:1"`, "not an id"}},
		"bootstrap without port": {"[network]\nbootstrap = [\"a\"]", "", []string{`"a": want host:port or nodeid@host:port`}},
		"jitter":                 {"[replication]\nrepair_interval = \"1h\"", "", []string{"replication.repair_jitter = \"2h\" (default)", "which is 1h"}},
		"domain":                 {"[institutional]\ndomain = \"a b\"", "", []string{`institutional.domain = "a b"`, "want a domain name"}},
		"level":                  {"[log]\nlevel = \"loud\"", "", []string{`log.level = "loud"`}},
		"syntax":                 {"[log]\nlevel = \n", "", []string{"config.toml, line 2"}},
		"policy key":             {"[[policy.repair]]\nnam = \"x\"", "", []string{"policy.repair", "unknown key nam", "is name"}},
		"policy role":            {"[[policy.repair]]\nname = \"x\"\nsource = \"y\"\nrole = \"boss\"", "", []string{"policy.repair", `role = "boss"`, `"guard" or "decider"`}},
		"policy digest":          {"[[policy.repair]]\nname = \"x\"\nsource = \"y\"\nsha256 = \"00\"", "", []string{`sha256 = "00"`}},
		"policy twice": {
			"[[policy.repair]]\nname = \"x\"\nsource = \"y\"\n[[policy.repair]]\nname = \"x\"\nsource = \"z\"", "",
			[]string{"entry 2", `"x" is taken`},
		},
		"all of them": {"[network]\npow_bits = \"a\"\nlisen = 1\n[log]\nlevl = 2", "", []string{"network.pow_bits", "network.lisen", "log.levl"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Sources{File: writeConfigFile(t, c.file)}
			if c.env != "" {
				s.Env = []string{c.env}
			}
			_, err := Load(s)
			var complaints *Error
			if !errors.As(err, &complaints) {
				t.Fatalf("got %v, want complaints", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// TestPoliciesByThePlaceOfTheFile: where a node is started does not change what its file names.
func TestPoliciesByThePlaceOfTheFile(t *testing.T) {
	path := writeConfigFile(t, `[[policy.placement]]
name = "module"
source = "policies/law.wasm"
[[policy.repair]]
name = "program"
source = "exec:night"
[[policy.repair]]
name = "elsewhere"
source = "exec:/usr/lib/law"
`)
	c, err := Load(Sources{File: path})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for got, want := range map[string]string{
		c.Policy.Placement[0].Source: filepath.Join(dir, "policies/law.wasm"),
		c.Policy.Repair[0].Source:    ExecPrefix + filepath.Join(dir, "night"),
		c.Policy.Repair[1].Source:    "exec:/usr/lib/law",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestAgain reads what has changed since, from the same sources.
func TestAgain(t *testing.T) {
	path := writeConfigFile(t, "[log]\nlevel = \"warn\"\n")
	c, err := Load(Sources{File: path, Env: []string{"TESSERAS_LOG__FORMAT=json"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[log]\nlevel = \"debug\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := c.Again()
	if err != nil || again.Log != (Log{Level: "debug", Format: "json"}) || c.Log.Level != "warn" {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestFileIsSearched(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "tesseras", "config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[log]\nlevel = \"error\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Sources{Env: []string{"XDG_CONFIG_HOME=" + home}})
	if err != nil {
		t.Fatal(err)
	}
	if l.File != path || l.Log.Level != "error" {
		t.Errorf("read %q with level %q", l.File, l.Log.Level)
	}
	if _, err := Load(Sources{File: path + ".gone"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file that was named: %v", err)
	}
}

func TestDataDir(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  []string
		want string
	}{
		{"/a", []string{"TESSERAS_DATA_DIR=/b", "XDG_DATA_HOME=/c", "HOME=/d"}, "/a"},
		{"", []string{"TESSERAS_DATA_DIR=/b", "XDG_DATA_HOME=/c", "HOME=/d"}, "/b"},
		{"", []string{"XDG_DATA_HOME=/c", "HOME=/d"}, "/c/tesseras"},
		{"", []string{"XDG_DATA_HOME=not/absolute", "HOME=/d"}, "/d/.local/share/tesseras"},
	} {
		if got, err := DataDir(c.flag, c.env); err != nil || got != c.want {
			t.Errorf("DataDir(%q, %q) = %q, %v, want %q", c.flag, c.env, got, err, c.want)
		}
	}
	if _, err := DataDir("", nil); err == nil {
		t.Error("a data directory was found out of nothing")
	}
}

func writeConfigFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
