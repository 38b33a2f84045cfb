package host_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/vet"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/sdk"
)

// kinds are the runtimes that a policy from outside can have.
var kinds = []string{"wasm", "process"}

// builds is where the sources of testdata/contrary are built, once for all tests; TestMain removes it.
type builds struct {
	once sync.Once
	dir  string
	err  error
}

var built builds

func (w *builds) folder() (string, error) {
	w.once.Do(func() { w.err = w.build() })
	return w.dir, w.err
}

func (w *builds) build() (err error) {
	if w.dir, err = os.MkdirTemp("", "tesseras-test-"); err != nil {
		return err
	}
	for kind, flags := range map[string][]string{"wasm": {"-buildmode=c-shared"}, "process": nil} {
		args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(w.dir, kind)}, flags...)
		cmd := exec.Command("go", append(args, "./testdata/contrary")...)
		if cmd.Env = os.Environ(); kind == "wasm" {
			cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm")
		}
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
	}
	return nil
}

// contrary is the policy of testdata/contrary as an operator would list it.
func contrary(t *testing.T, kind string) config.Plugin {
	t.Helper()
	dir, err := built.folder()
	if err != nil {
		t.Fatal(err)
	}
	p := config.Plugin{Name: "contrary", Role: config.RoleDecider, OnFailure: config.FailSkip, Source: filepath.Join(dir, kind)}
	if kind == "process" {
		p.Source = config.ExecPrefix + p.Source
	}
	return p
}

func reload(t *testing.T, n *member, change func(*config.Policy)) {
	t.Helper()
	cfg := config.Default().Policy
	change(&cfg)
	if err := n.ReloadPolicies(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func rollback(t *testing.T, n *member) {
	t.Helper()
	if err := n.RollbackPolicies(); err != nil {
		t.Fatal(err)
	}
}

// answered counts what a policy decided in a role.
func (m *member) answered(role sdk.Role, name, kind string) (n uint64) {
	for _, c := range m.Decisions() {
		if c.Role == role && c.Policy == name && c.Runtime == kind && c.Outcome == policy.Answered {
			n += c.Calls
		}
	}
	return n
}

// TestASwappedPolicyDecides: what the operator puts in the place of a default changes what happens, in
// each role and in each runtime, and going back changes it back.
func TestASwappedPolicyDecides(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			v, owner := newVillage(t, 9)
			contrary := contrary(t, kind)
			first := create(t, owner, folder(t, medium))
			owner.publish(first.ID)
			if n := len(v.holdersOf(first.ID)); n != 9 {
				t.Fatalf("the default used %d peers of 9", n)
			}

			reload(t, owner, func(c *config.Policy) { c.Placement = []config.Plugin{contrary} })
			second := create(t, owner, folder(t, medium))
			owner.publish(second.ID)
			if got, want := ids(v.holdersOf(second.ID)), ids(v.nodes[:9])[:7]; !slices.Equal(got, want) {
				t.Errorf("placed on %v, want the first seven, %v", got, want)
			}
			rollback(t, owner)

			stubborn := v.nodes[4]
			reload(t, stubborn, func(c *config.Policy) { c.Reciprocity = []config.Plugin{contrary} })
			third := create(t, owner, folder(t, medium))
			owner.publish(third.ID)
			if len(stubborn.held(third.ID)) > 0 || len(v.holdersOf(third.ID)) != 8 {
				t.Errorf("%d peers hold it, the one that takes nothing has %d fragments", len(v.holdersOf(third.ID)), len(stubborn.held(third.ID)))
			}

			copies := create(t, owner, folder(t, small))
			owner.publish(copies.ID)
			v.holdersOf(copies.ID)[0].loses(copies.ID) // six of seven are left: nothing that the host does not let wait
			reload(t, owner, func(c *config.Policy) { c.Repair = []config.Plugin{contrary} })
			if held := owner.afterARound(copies.ID); held != 6 {
				t.Errorf("%d copies: it repaired before lunch", held)
			}
			rollback(t, owner)
			if held := owner.afterARound(copies.ID); held != 7 {
				t.Errorf("%d copies after the default's repair", held)
			}

			for _, want := range []struct {
				who  *member
				role sdk.Role
			}{{owner, sdk.RolePlacement}, {stubborn, sdk.RoleReciprocity}, {owner, sdk.RoleRepair}} {
				if want.who.answered(want.role, "contrary", kind) == 0 {
					t.Errorf("%s: not counted among %+v", want.role, want.who.Decisions())
				}
			}
		})
	}
}

// afterARound is how many fragments are held somewhere once the owner has looked after itself.
func (m *member) afterARound(id sdk.TesseraID) (held int) {
	m.v.t.Helper()
	m.round()
	return m.v.placed(id)
}

// ids are those of nodes, ascending.
func ids(nodes []*member) (out []string) {
	for _, m := range nodes {
		out = append(out, m.id().String())
	}
	slices.Sort(out)
	return out
}

// TestTheEmbeddedPoliciesDecide a publish, its admissions and a repair, and nothing else does.
func TestTheEmbeddedPoliciesDecide(t *testing.T) {
	t.Parallel()
	v := &village{t: t, ownPolicies: true}
	for range 8 {
		v.add()
	}
	owner := v.add()
	v.meet(owner, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	v.nodes[3].loses(made.ID)
	if r := owner.repair(made.ID); r.Repaired != 1 {
		t.Errorf("repair %+v", r)
	}
	for _, want := range []struct {
		who  *member
		role sdk.Role
	}{{owner, sdk.RolePlacement}, {v.nodes[0], sdk.RoleReciprocity}, {owner, sdk.RoleRepair}} {
		if want.who.answered(want.role, "default", wasm.Runtime) == 0 {
			t.Errorf("%s: the module decided nothing: %+v", want.role, want.who.Decisions())
		}
	}
	l, err := owner.PolicyList(t.Context())
	if err != nil || len(l.Policies) < 3 || l.CanRollBack {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, p := range l.Policies {
		switch p.Part {
		case "default":
			if p.Name != "default" || p.Kind != "wasm" || len(p.Digest) != 64 || p.State != localapi.PolicyInUse || p.Version == "" || p.Calls > 0 && p.P99 < p.P50 {
				t.Errorf("%+v", p)
			}
		case "last resort":
			if p.Kind != "native" {
				t.Errorf("%+v", p)
			}
		default:
			t.Errorf("nobody asked for %+v", p)
		}
	}
}

// TestGuardsOfTheOperator: role, settings and digest of the configuration take effect.
func TestGuardsOfTheOperator(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			v, owner := newVillage(t, 9)
			guard := contrary(t, kind)
			guard.Role, guard.OnFailure = config.RoleGuard, config.FailClosed
			guard.Config = map[string]any{"avoid": []any{v.nodes[2].id().String(), v.nodes[5].id().String()}}
			path, _ := strings.CutPrefix(guard.Source, config.ExecPrefix)
			guard.SHA256 = fmt.Sprintf("%x", sha256.Sum256(read(t, path)))
			reload(t, owner, func(c *config.Policy) { c.Placement = []config.Plugin{guard} })
			made := create(t, owner, folder(t, medium))
			owner.publish(made.ID)
			if n := len(v.holdersOf(made.ID)); n != 7 || len(v.nodes[2].held(made.ID))+len(v.nodes[5].held(made.ID)) > 0 {
				t.Errorf("%d peers hold it, %d fragments are with those to be avoided", n, len(v.nodes[2].held(made.ID))+len(v.nodes[5].held(made.ID)))
			}
			if owner.answered(sdk.RolePlacement, "contrary", kind) == 0 || owner.answered(sdk.RolePlacement, "default", wasm.Runtime) == 0 {
				t.Errorf("the guard and the default are both asked: %+v", owner.Decisions())
			}
			l, err := owner.PolicyList(t.Context())
			if err != nil || l.Policies[0].Part != "guard" || !l.Policies[0].Closed || l.Policies[0].Kind != kind || !l.CanRollBack || l.Generation != 2 {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

// TestAReloadThatFailsChangesNothing, and says what is wrong.
func TestAReloadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	n := v.add()
	before, err := n.PolicyList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var setting *vet.SettingError
	for name, c := range map[string]struct {
		change func(*config.Plugin)
		ok     func(error) bool
		text   string
	}{
		"missing file":    {func(p *config.Plugin) { p.Source = "/nowhere/law.wasm" }, isA(os.ErrNotExist), "/nowhere/law.wasm"},
		"missing program": {func(p *config.Plugin) { p.Source = "exec:/nowhere/law" }, isA(os.ErrNotExist), "/nowhere/law"},
		"wrong digest":    {func(p *config.Plugin) { p.SHA256 = strings.Repeat("0", 64) }, isA(wasm.ErrDigest), "its sha256 is"},
		"unknown setting": {func(p *config.Plugin) { p.Config = map[string]any{"avoit": "x"} }, func(err error) bool { return errors.As(err, &setting) && setting.Key == "avoit" }, "avoid, mood"},
		"wrong setting":   {func(p *config.Plugin) { p.Config = map[string]any{"mood": "good"} }, func(err error) bool { return errors.As(err, &setting) && setting.Key == "mood" }, "bad, worse"},
	} {
		listed := contrary(t, "wasm")
		c.change(&listed)
		cfg := config.Default().Policy
		cfg.Repair = []config.Plugin{listed}
		err := n.ReloadPolicies(t.Context(), cfg)
		if err == nil || !c.ok(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "policy.repair") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := n.PolicyList(t.Context()); err != nil || after.Generation != before.Generation || after.CanRollBack || len(after.Policies) != len(before.Policies) {
		t.Errorf("%+v, %v", after, err)
	}
	if err := n.RollbackPolicies(); !errors.Is(err, policy.ErrNoPrevious) {
		t.Errorf("rollback: %v", err)
	}
	if _, err := n.PolicyReload(t.Context()); err == nil {
		t.Error("it reloaded a configuration that stands nowhere")
	}
}

func isA(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

// TestAPolicyThatCannotBeLoaded stops no node: it counts as one that fails, and on_failure says what
// that means.
func TestAPolicyThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	broken := config.Plugin{Name: "law", Role: config.RoleGuard, Source: "/nowhere/law.wasm", OnFailure: config.FailSkip}
	v, owner := newVillage(t, 8, func(c *config.Config) { c.Policy.Placement = []config.Plugin{broken} })
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	l, err := owner.PolicyList(t.Context())
	if err != nil || l.Policies[0].State != localapi.PolicyNotLoaded || !strings.Contains(l.Policies[0].LastError, "/nowhere/law.wasm") || l.Policies[0].Errors == 0 {
		t.Errorf("%+v, %v", l.Policies[0], err)
	}

	broken.OnFailure = config.FailClosed
	strict := owner.restart(func(c *config.Config) { c.Policy.Placement = []config.Plugin{broken} })
	v.meet(strict, 8)
	second := create(t, strict, folder(t, medium))
	if _, err := strict.Publish(t.Context(), second.ID, localapi.PublishOptions{}, noProgress); err != nil {
		t.Logf("the publish says %v", err)
	}
	v.eventually("an alarm", func() bool {
		l, err = strict.PolicyList(t.Context())
		return err == nil && slices.ContainsFunc(l.Alarms, func(a localapi.PolicyAlarm) bool {
			return a.Role == "placement" && a.Policy == "law" && a.Alarm == string(policy.AlarmGuard)
		})
	})
	if placed := v.placed(second.ID); placed != 0 {
		t.Errorf("%d fragments were placed without the guard", placed)
	}
	if !l.Policies[0].Closed {
		t.Errorf("%+v", l.Policies[0])
	}
}
