package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/policy/sim"
)

// simmed reads what tes policy sim --json says.
func simmed(t *testing.T, args ...string) (sides map[string]sim.Result, stdout string) {
	t.Helper()
	code, stdout, stderr := tes(t, append([]string{"--json", "policy", "sim"}, args...)...)
	var r struct{ Sides []side }
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	sides = map[string]sim.Result{}
	for _, s := range r.Sides {
		sides[s.Policy] = s.Result
	}
	return sides, stdout
}

// TestPolicySim simulates a policy beside the default, the same for the same seed.
func TestPolicySim(t *testing.T) {
	t.Parallel()
	fastest := built(t, "../../examples/fastest-first")
	args := []string{fastest, "--peers", "40", "--years", "0.5", "--tesseras", "3", "--churn", "40%", "--set", "slowest=60ms"}
	sides, first := simmed(t, args...)
	if len(sides) != 2 || sides["default"].Questions == 0 || sides["fastest-first"].Questions == 0 || sides["default"].PeersGone == 0 {
		t.Fatalf("%s", first)
	}
	if f, d := sides["fastest-first"], sides["default"]; f.PeersGone != d.PeersGone || f.PeersPerTessera >= d.PeersPerTessera || f.MeanMargin >= d.MeanMargin {
		t.Errorf("few peers are fast, and the same ones leave: %+v, %+v", f, d)
	}
	if _, again := simmed(t, args...); again != first {
		t.Errorf("the same seed gives\n%s and\n%s", first, again)
	}
	if _, other := simmed(t, append(args, "--seed", "2")...); other == first {
		t.Error("another seed gives the same run")
	}
	code, stdout, _ := tes(t, "policy", "sim", "--peers", "20", "--years", "0.1", "--tesseras", "1", "--per-subnet", "0", "--offline", "0")
	if code != 0 || !strings.Contains(stdout, "20 peers, 20 % leave within a year, each is away 0 % of the time; 1 tesseras of 16+8 fragments, looked at every 24h") ||
		!strings.Contains(stdout, "lost ") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

func TestPolicySimMistakes(t *testing.T) {
	t.Parallel()
	keeps := built(t, keepOut)
	for _, args := range [][]string{
		{"--churn", "100"},
		{"--churn", "much"},
		{"--code", "16"},
		{"--code", "0+8"},
		{"--peers", "-3"},
		{"--years", "0.001"},
		{"--shard", "big"},
		{"--seed", "0"},
		{"nowhere.wasm"},
		{keeps, "--as", "decider"},
		{keeps, "--set", "min_age=soon"},
	} {
		if code, stdout, stderr := tes(t, append([]string{"policy", "sim"}, args...)...); code != 2 {
			t.Errorf("%q: exit %d: %s%s", args, code, stdout, stderr)
		}
	}
}
