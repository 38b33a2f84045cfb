// Package roomiest_test answers: does a policy in another language, made from sdk/ABI.md alone, keep what
// every policy promises?
package roomiest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

func TestMain(m *testing.M) {
	wasm.MaybeCompileChild()
	os.Exit(m.Run())
}

// roomiest builds the module and loads it. Without npm the caller does nothing, because the tests of this
// repository need only Go; where CI is set that is a failure.
func roomiest(t *testing.T) *wasm.Policy {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		const message = "npm is missing, so the policy in AssemblyScript is NOT tested: install Node.js (Debian: apt-get install nodejs npm)"
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Log(message)
		fmt.Fprintln(os.Stderr, message)
		return nil
	}
	module := filepath.Join(t.TempDir(), "roomiest.wasm")
	if said, err := exec.CommandContext(t.Context(), "./build.sh", module).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v: %s", err, said)
	}
	if info, err := os.Stat(module); err != nil || info.Size() > 32<<10 {
		t.Fatalf("the module has %d bytes, %v: it used to be small", info.Size(), err)
	}
	p, err := wasm.LoadFile(t.Context(), module, wasm.Config{Name: "roomiest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestRoomiest holds it to every promise, to its golden cases, and to its name, and has a node's engine
// ask it.
func TestRoomiest(t *testing.T) {
	p := roomiest(t)
	if p == nil {
		return
	}
	ask := func(role sdk.Role, request []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return p.Ask(ctx, role, request)
	}
	subject := policytest.Subject{Description: p.Description(), Ask: ask}
	executed := 0
	for _, r := range policytest.Properties(subject, policytest.Options{Cases: 60}) {
		executed += r.Cases
		if r.Problem != "" {
			t.Errorf("%s: %s", r.Property, r.Problem)
		}
	}
	if executed < 240 {
		t.Errorf("only %d questions were asked", executed)
	}
	cases, err := policytest.ReadGolden("cases")
	if err != nil || len(cases) < 3 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		if _, problem, err := c.Answer(subject); err != nil || problem != nil || len(c.Want) == 0 {
			t.Errorf("case %s: %v, %v", c.Name, problem, err)
		}
	}
	theRoomiestAreTaken(t, p)
}

func theRoomiestAreTaken(t *testing.T, p policy.Policy) {
	t.Helper()
	e := policy.New(policy.Deps{}, policy.Config{Placement: policy.Chain{Deciders: []policy.Policy{p}}})
	peers := policytest.Peers(9, func(i int, c *sdk.Candidate) { c.FreeBytes = uint64(1+i) << 30 })
	placed, err := e.Place(t.Context(), policytest.Place(2, 1, peers))
	if err != nil || placed.Policy != "roomiest" || placed.Runtime != wasm.Runtime {
		t.Fatalf("%+v, %v", placed, err)
	}
	for _, a := range placed.Assignments {
		if a.Peer != sdk.NodeID(peers[8].Id) && a.Peer != sdk.NodeID(peers[7].Id) && a.Peer != sdk.NodeID(peers[6].Id) {
			t.Errorf("%s is not among the three roomiest", a.Peer.Short())
		}
		if a.Reason != "among the roomiest" {
			t.Errorf("reason %q", a.Reason)
		}
	}
}

// TestNothingOfTheSDK: the source is complete in itself.
func TestNothingOfTheSDK(t *testing.T) {
	sources, err := filepath.Glob("assembly/*.ts")
	if err != nil || len(sources) < 4 {
		t.Fatalf("%q, %v", sources, err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if _, from, imports := strings.Cut(line, ` from "`); imports && !strings.HasPrefix(from, "./") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}
