package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

func file(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func configured(t *testing.T, settings map[string]string) *override {
	t.Helper()
	o := &override{}
	if r := o.Configure(policytest.Settings(o.Describe(), settings)); r.Status != sdk.Status_OK {
		t.Fatalf("%s: %s", r.Key, r.Reason)
	}
	return o
}

// lists are those of the tests below: peer 0 by its id, peer 1 by its network, owner 0; tessera 0 is kept
// until 2031, tessera 1 was kept until 2029.
func lists(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"allow_list": file(t, "# partners", "node "+hex.EncodeToString(policytest.ID("peer", 0)), "network 10.0.1.0/24 # theirs",
			"owner "+hex.EncodeToString(policytest.ID("owner", 0))),
		"retention": file(t, hex.EncodeToString(policytest.ID("tessera", 0))+" 2031-04-30",
			hex.EncodeToString(policytest.ID("tessera", 1))+" 2029-12-31"),
	}
}

func TestPlace(t *testing.T) {
	o := configured(t, lists(t))
	q := policytest.Place(2, 1, policytest.Peers(4, nil))
	a := o.Place(q)
	var out []string
	for _, n := range a.Notes {
		out = append(out, sdk.ShortID(q.Candidates[n.Candidate].Id))
		if !n.Excluded || !strings.HasSuffix(n.Reason, "allow-list "+o.allowed.digest) {
			t.Errorf("%v", n)
		}
	}
	for _, peer := range []int{2, 3} {
		if !strings.Contains(strings.Join(out, " "), sdk.ShortID(policytest.ID("peer", peer))) {
			t.Errorf("peer %d may hold: %q", peer, out)
		}
	}
	if len(out) != 2 || !a.Caps.GetStrict() {
		t.Errorf("%q, caps %v", out, a.Caps)
	}
	q.Tessera = policytest.ID("tessera", 7)
	if a := o.Place(q); a.Caps.GetStrict() {
		t.Error("strict about a tessera that is on no list")
	}
}

func TestAdmit(t *testing.T) {
	o := configured(t, lists(t))
	for _, tt := range []struct {
		owner, tessera int
		want           string
	}{
		{0, 0, ""}, {0, 7, ""}, {1, 7, "is not on allow-list " + o.allowed.digest}, {0, 1, "retention file " + o.retention.digest},
	} {
		q := policytest.Admit()
		q.Owner, q.Tessera = policytest.ID("owner", tt.owner), policytest.ID("tessera", tt.tessera)
		a := o.Admit(q)
		refused := a.Verdict == sdk.AdmitResponse_REFUSE
		if refused != (tt.want != "") || !strings.Contains(a.Reason, tt.want) {
			t.Errorf("owner %d, tessera %d: %v", tt.owner, tt.tessera, a)
		}
	}
}

func TestRepair(t *testing.T) {
	o := configured(t, lists(t))
	a := o.Repair(policytest.Repair(policytest.Health(0, 1, 4), policytest.Health(1, 1, 4), policytest.Health(2, 1, 4)))
	if len(a.Orders) != 1 || a.Orders[0].Tessera != 0 || a.Orders[0].Priority != 900 || !strings.HasPrefix(a.Orders[0].Reason, "under retention for 364 more days") {
		t.Errorf("%v", a)
	}
}

func TestPromises(t *testing.T) {
	policytest.Run(t, &override{}, nil)
	policytest.Run(t, &override{}, lists(t))
}

// TestWrongLists: the complaint names the setting, the file and the line.
func TestWrongLists(t *testing.T) {
	id := hex.EncodeToString(policytest.ID("peer", 0))
	for _, tt := range []struct{ key, line, want string }{
		{"allow_list", "friend " + id, `line 2: "friend" is none of node, network, owner`},
		{"allow_list", "node 12", "line 2: not an id"},
		{"allow_list", "owner", "line 2: want two words"},
		{"retention", id + " tomorrow", "line 2: parsing time"},
		{"retention", "12 2030-01-01", "line 2: not an id"},
		{"priority", "0", "want 1 to 1000000"},
	} {
		value := tt.line
		if tt.key != "priority" {
			value = file(t, "# a list", tt.line)
		}
		o := &override{}
		r := o.Configure(policytest.Settings(o.Describe(), map[string]string{tt.key: value}))
		if r.Status != sdk.Status_INVALID || r.Key != tt.key || !strings.Contains(r.Reason, tt.want) {
			t.Errorf("%s: %v", tt.line, r)
		}
	}
	o := &override{}
	if r := o.Configure(policytest.Settings(o.Describe(), map[string]string{"allow_list": "/nowhere/list"})); r.Key != "allow_list" {
		t.Errorf("%v", r)
	}
}
