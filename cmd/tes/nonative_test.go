package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/localapi"
)

// TestWithoutTheLinkedPolicies builds a tes that has no policies but the module it carries. A publish,
// its admissions and a repair have to do with that: nothing can stand in for the module.
func TestWithoutTheLinkedPolicies(t *testing.T) {
	t.Parallel()
	f := newFolk(t)
	f.program = filepath.Join(t.TempDir(), "tes")
	shop.compute(func() {
		if said, err := exec.Command("go", "build", "-tags", "tesseras_nonative", "-ldflags=-s -w", "-o", f.program, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	})
	for range 7 {
		f.add()
	}
	owner := f.add()
	f.knows(owner, 7)
	photos := t.TempDir()
	if err := os.WriteFile(filepath.Join(photos, "a.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	var made localapi.Created
	f.must(&made, "create", photos, "--data-dir", owner.dir)
	f.eventually("a publish", func() bool {
		var p localapi.Published
		return f.tes(&p, "publish", made.ID.String(), "--wait", "--data-dir", owner.dir) == nil && p.Placed == 7
	})
	f.add() // somebody to take the copy of who goes
	f.knows(owner, 8)
	f.nodes[0].kill()
	f.eventually("a repair", func() bool {
		var r localapi.RepairReport
		return f.tes(&r, "repair", "run", made.ID.String(), "--data-dir", owner.dir) == nil && r.RebuiltFragments == 1
	})
	for _, asked := range []struct {
		node *folkNode
		role string
	}{{owner, "placement"}, {f.nodes[1], "reciprocity"}, {owner, "repair"}} {
		var l localapi.PolicyList
		f.must(&l, "policy", "list", "--data-dir", asked.node.dir)
		if len(l.Policies) != 3 {
			t.Errorf("there is more than the module: %+v", l.Policies)
		}
		for _, p := range l.Policies {
			if p.Kind != "wasm" || p.Part != "default" || p.Role == asked.role && p.Calls == p.Errors {
				t.Errorf("%+v", p)
			}
		}
	}
}

// folk is a small network of real processes.
type folk struct {
	t       *testing.T
	program string
	base    string
	nodes   []*folkNode
}

type folkNode struct {
	dir  string
	addr string
	cmd  *exec.Cmd
}

func newFolk(t *testing.T) *folk { return &folk{t: t, base: t.TempDir()} }

// add starts a node that knows the first one, and waits until it answers.
func (f *folk) add() *folkNode {
	f.t.Helper()
	n := &folkNode{dir: filepath.Join(f.base, fmt.Sprint(len(f.nodes)))}
	n.cmd = exec.Command(f.program, "node", "--data-dir", n.dir, "--listen", "127.0.0.1:0")
	n.cmd.Env = append(os.Environ(), "TESSERAS_NETWORK__POW_BITS=4", "TESSERAS_STORAGE__MIN_FREE=0", "TESSERAS_REPLICATION__PER_SUBNET=0")
	if len(f.nodes) > 0 {
		n.cmd.Env = append(n.cmd.Env, "TESSERAS_NETWORK__BOOTSTRAP="+f.nodes[0].addr)
	}
	if err := n.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(n.kill)
	f.eventually("a node", func() bool {
		who, err := identify(n.dir)
		n.addr = who.Addr
		return err == nil && n.addr != ""
	})
	f.nodes = append(f.nodes, n)
	return n
}

// knows waits until a node has so many peers: who is new is known through the first one, which has to live
// until then.
func (f *folk) knows(n *folkNode, peers int) {
	f.t.Helper()
	f.eventually("peers", func() bool {
		var known struct{ Peers []localapi.Peer }
		return f.tes(&known, "peers", "--data-dir", n.dir) == nil && len(known.Peers) == peers
	})
}

// kill ends the process as a power cut would.
func (n *folkNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// tes runs a verb and reads its JSON.
func (f *folk) tes(answer any, args ...string) error {
	out, err := exec.Command(f.program, append(args, "--json")...).Output()
	if len(out) > 0 {
		if decodeErr := json.Unmarshal(out, answer); err == nil {
			err = decodeErr
		}
	}
	return err
}

func (f *folk) must(answer any, args ...string) {
	f.t.Helper()
	if err := f.tes(answer, args...); err != nil {
		f.t.Fatalf("%v: %v", args, err)
	}
}

func (f *folk) eventually(what string, done func() bool) {
	f.t.Helper()
	for end := time.Now().Add(5 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited too long for %s", what)
		}
	}
}
