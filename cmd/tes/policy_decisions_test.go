package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/decisions"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// past is a data directory in which something was decided while no node runs any more.
type past struct {
	dir, config string
	module      string // keep-out, the guard
	decision    string
}

// tes runs tes on the data directory.
func (p past) tes(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	shop.compute(func() {
		code = run(process{
			args: append([]string{"--data-dir", p.dir, "--config", p.config}, args...), env: append(os.Environ(), "TESSERAS_NETWORK__POW_BITS=4"),
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, open: host.OpenLocal,
		})
	})
	return code, out.String(), errs.String()
}

// configure makes networks what the guard keeps out.
func (p past) configure(t *testing.T, networks string) {
	t.Helper()
	text := "[[policy.placement]]\nname = \"law\"\nrole = \"guard\"\nsource = '" + p.module + "'\n[policy.placement.config]\nnetworks = [\"" + networks + "\"]\n"
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// crowd is three fragments and peers of whom one loses to the subnet cap, one to the guard, one to its
// balance.
func crowd() *sdk.PlaceRequest {
	q := policytest.Place(2, 1, policytest.Peers(6, func(i int, c *sdk.Candidate) {
		c.BalanceBytes, c.Nearness = 1<<40, 9
		switch i {
		case 3:
			c.Subnet, c.Nearness = []byte{10, 0, 2}, 8
		case 5:
			c.BalanceBytes = -1e9
		}
	}))
	q.Caps = &sdk.Caps{Replicas: 3, PerSubnet: 1, InstitutionalPpm: sdk.InstitutionalPPM}
	return q
}

func newPast(t *testing.T) past {
	t.Helper()
	p := past{dir: filepath.Join(t.TempDir(), "data"), config: filepath.Join(t.TempDir(), "tesd.toml"), module: built(t, keepOut)}
	const network = "10.0.4.0/24"
	p.configure(t, network)
	if code, _, stderr := p.tes(t, "init"); code != 0 {
		t.Fatal(stderr)
	}
	disk, err := vfs.OpenDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	log, err := decisions.Open(disk, "decisions", decisions.Config{Keep: decisions.DefaultKeep})
	if err != nil {
		t.Fatal(err)
	}
	var guard loadedPolicy
	shop.compute(func() {
		guard, err = loadPolicy(t.Context(), p.module, "law", map[string]any{"networks": network}, slog.New(slog.DiscardHandler))
	})
	if err != nil {
		t.Fatal(err)
	}
	e := policy.New(policy.Deps{Recorder: log}, policy.Config{
		Placement: policy.Chain{Guards: []policy.Guard{{Policy: guard, Closed: true}}},
		Deadlines: policy.Deadlines{Place: selfTime},
	})
	placed, err := e.Place(t.Context(), crowd())
	if err != nil {
		t.Fatal(err)
	}
	p.decision = placed.Decision
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// selfTime is a deadline that no slow machine misses.
const selfTime = 1e11

// TestPolicyExplain finds who lost to the subnet cap, to the guard and to its balance, by the decision
// and by the tessera.
func TestPolicyExplain(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	tessera := sdk.TesseraID(policytest.ID("tessera", 0))
	for _, about := range []string{p.decision, p.decision[:8], tessera.String()} {
		code, stdout, stderr := p.tes(t, "--json", "policy", "explain", about)
		var r struct{ Decisions []explained }
		if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || len(r.Decisions) != 1 {
			t.Fatalf("%s: exit %d, %v: %s%s", about, code, err, stdout, stderr)
		}
		x := r.Decisions[0]
		if len(x.Placed) != 3 || len(x.PassedOver) != 3 || x.By != "default (native)" {
			t.Errorf("%+v", x)
		}
		for peer, want := range map[int]reasonJSON{
			3: {"default", "subnet cap: 10.0.2.0/24 has 1 peer of this tessera, the most allowed"},
			4: {"law", "excluded: 10.0.4.0/24 is on the list"},
			5: {"default", "low balance: its owner owes us 953.7 MiB, the peers taken do more for us"},
		} {
			i := slices.IndexFunc(x.PassedOver, func(o passedJSON) bool { return o.Peer == sdk.NodeID(policytest.ID("peer", peer)) })
			if i < 0 || !slices.Equal(x.PassedOver[i].Because, []reasonJSON{want}) {
				t.Errorf("peer %d: want %v: %+v", peer, want, x.PassedOver)
			}
		}
	}
	code, stdout, _ := p.tes(t, "policy", "explain", p.decision)
	for _, want := range []string{"decision " + p.decision + ", placement", "fragment 0 went to ", "says law: excluded: 10.0.4.0/24 is on the list"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in %s", code, want, stdout)
		}
	}
	for about, want := range map[string]int{"fedcba9876543210": 10, "xy": 2, sdk.TesseraID{9}.String(): 10} {
		if code, stdout, stderr := p.tes(t, "policy", "explain", about); code != want || !strings.Contains(stderr, "\nhint: ") {
			t.Errorf("%s: exit %d: %s%s", about, code, stdout, stderr)
		}
	}
}

// TestPolicyReplay gets the same bytes, and other ones from a guard with other settings.
func TestPolicyReplay(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	code, stdout, stderr := p.tes(t, "--json", "policy", "replay", p.decision)
	var r struct {
		Same     bool
		Replayed []replayed
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || !r.Same || len(r.Replayed) != 2 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if g := r.Replayed[0]; g.Policy != "law" || g.Runtime != "wasm" || g.Part != policy.PartGuard || g.Bytes == 0 || g.Digest != g.DigestRecorded || len(g.Digest) != 64 {
		t.Errorf("%+v", g)
	}
	if d := r.Replayed[1]; d.Policy != "default" || d.Bytes == 0 {
		t.Errorf("%+v", d)
	}
	p.configure(t, "10.0.1.0/24")
	if code, stdout, stderr := p.tes(t, "policy", "replay", p.decision); code != 1 || !strings.Contains(stdout, "DIFFERENT") || !strings.Contains(stderr, "1 policy answered otherwise") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if err := os.WriteFile(p.config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := p.tes(t, "policy", "replay", p.decision); code != 2 || !strings.Contains(stderr, "hint: name its file with --policy FILE") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	fastest := built(t, "../../examples/fastest-first")
	if code, stdout, stderr := p.tes(t, "policy", "replay", p.decision, "--policy", fastest); code != 1 || !strings.Contains(stdout, "DIFFERENT") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// TestPolicyDiff tells what another decider and another guard would have decided.
func TestPolicyDiff(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	fastest := built(t, "../../examples/fastest-first")
	for _, tt := range []struct {
		want      string
		different int
		args      []string
	}{
		{`"different":1`, 1, []string{fastest, "--set", "slowest=1ms"}},
		{`"same":1`, 0, []string{p.module, "--as", "guard", "--set", "networks=10.0.4.0/24"}},
		{`"different":1`, 1, []string{p.module, "--set", "networks=10.0.0.0/24", "--since", "1h"}},
		{`"asked":0`, 0, []string{fastest, "--since", "1ns"}},
	} {
		code, stdout, stderr := p.tes(t, append([]string{"--json", "policy", "diff"}, tt.args...)...)
		var r struct{ Differences []differenceJSON }
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || !strings.Contains(stdout, tt.want) || len(r.Differences) != tt.different {
			t.Errorf("%q: exit %d, %v: %s%s", tt.args, code, err, stdout, stderr)
		}
		for _, d := range r.Differences {
			if d.Decision != p.decision || d.Moved == 0 || d.Before == d.After || d.Tessera != sdk.TesseraID(policytest.ID("tessera", 0)).String() {
				t.Errorf("%+v", d)
			}
		}
	}
	if code, stdout, _ := p.tes(t, "policy", "diff", fastest, "--set", "slowest=1ms"); code != 0 || !strings.Contains(stdout, "  would be: deferred") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	for _, args := range [][]string{{fastest, "--as", "guard"}, {fastest, "--role", "repair"}, {"nowhere.wasm"}} {
		if code, _, stderr := p.tes(t, append([]string{"policy", "diff"}, args...)...); code != 2 || !strings.Contains(stderr, "\nhint: ") {
			t.Errorf("%q: exit %d: %s", args, code, stderr)
		}
	}
}

// TestNothingDecided: a node that never decided anything says so.
func TestNothingDecided(t *testing.T) {
	t.Parallel()
	p := past{dir: filepath.Join(t.TempDir(), "data"), config: filepath.Join(t.TempDir(), "tesd.toml")}
	if err := os.WriteFile(p.config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.tes(t, "policy", "explain", "abcdabcd"); code != 10 || !strings.Contains(stderr, "init") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := p.tes(t, "init"); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := p.tes(t, "policy", "replay", "abcdabcd"); code != 10 || !strings.Contains(stderr, "nothing was decided here yet") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
