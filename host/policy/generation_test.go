package policy

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// closer is a scripted policy that notes that it was closed.
type closer struct {
	scripted
	closed atomic.Int32
	fail   error
}

func (c *closer) Close() error {
	c.closed.Add(1)
	return c.fail
}

// refuser answers admit questions with its own name.
func refuser(name string) *closer {
	c := &closer{}
	c.name, c.ask = name, says(name, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: name}).ask
	return c
}

func admits(p ...Policy) Config { return Config{Reciprocity: Chain{Deciders: p}} }

func decidedBy(t *testing.T, e *Engine) string {
	t.Helper()
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil {
		t.Fatal(err)
	}
	return a.Policy
}

func TestSwapAndRollback(t *testing.T) {
	a, b, c := refuser("a"), refuser("b"), refuser("c")
	e := New(Deps{}, admits(a))
	if err := e.Rollback(); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("rolled back to nothing: %v", err)
	}
	if got := decidedBy(t, e); got != "a" {
		t.Error(got)
	}
	if err := e.Swap(t.Context(), admits(b)); err != nil {
		t.Fatal(err)
	}
	if got := decidedBy(t, e); got != "b" || a.closed.Load() != 0 {
		t.Errorf("%s decides, a closed %d times", got, a.closed.Load())
	}
	if s := e.Status(); s.Generation != 2 || !s.CanRollBack {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"a", "b"} { // and back again
		if err := e.Rollback(); err != nil || decidedBy(t, e) != want {
			t.Errorf("not rolled back to %s: %v", want, err)
		}
	}
	if err := e.Swap(t.Context(), admits(c)); err != nil {
		t.Fatal(err)
	}
	e.closing.Wait()
	if a.closed.Load() != 1 || b.closed.Load() != 0 {
		t.Error("of three configurations the oldest is closed, and only it")
	}
	if err := e.Close(); err != nil || a.closed.Load() != 1 || b.closed.Load() != 1 || c.closed.Load() != 1 {
		t.Errorf("closed %d, %d, %d times, %v", a.closed.Load(), b.closed.Load(), c.closed.Load(), err)
	}
	if _, err := e.Admit(t.Context(), admitRequest()); !errors.Is(err, ErrClosed) {
		t.Errorf("asked after Close: %v", err)
	}
	d := refuser("d")
	if err := errors.Join(e.Swap(t.Context(), admits(d)), e.Rollback()); !errors.Is(err, ErrClosed) || d.closed.Load() != 1 {
		t.Errorf("swapped after Close: %v", err)
	}
	if err := e.Close(); err != nil || len(e.Status().Policies) != 0 {
		t.Error(err)
	}
}

// TestAPolicyThatStays keeps its figures over a swap and is not closed with the old configuration.
func TestAPolicyThatStays(t *testing.T) {
	stays, goes := refuser("stays"), refuser("goes")
	e := New(Deps{}, admits(stays, goes))
	decidedBy(t, e)
	for range 2 { // after the second, the first configuration is gone
		if err := e.Swap(t.Context(), admits(stays)); err != nil {
			t.Fatal(err)
		}
	}
	e.closing.Wait()
	if stays.closed.Load() != 0 || goes.closed.Load() != 1 {
		t.Errorf("closed %d and %d times", stays.closed.Load(), goes.closed.Load())
	}
	decidedBy(t, e)
	for _, s := range e.Status().Policies {
		if s.Name == "stays" && (s.Calls != 2 || s.Role != sdk.RoleReciprocity || s.Part != PartDecider) {
			t.Errorf("%+v", s)
		}
	}
	stays.fail = errors.New("stuck")
	if err := e.Close(); !errors.Is(err, stays.fail) || !strings.Contains(err.Error(), "close policy stays") {
		t.Errorf("%v", err)
	}
}

// TestDecisionsInFlight end where they began, and what they hold is closed only then.
func TestDecisionsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := refuser("slow")
		answer := slow.ask
		slow.ask = func(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return answer(ctx, role, request)
		}
		e := New(Deps{}, admits(slow))
		decided := make(chan string)
		go func() { decided <- decidedBy(t, e) }()
		synctest.Wait()
		for _, name := range []string{"b", "c"} { // two swaps, so that no rollback leads to the first
			if err := e.Swap(t.Context(), admits(refuser(name))); err != nil {
				t.Error(err)
			}
		}
		if slow.closed.Load() != 0 {
			t.Error("closed under a decision")
		}
		if got := decidedBy(t, e); got != "c" {
			t.Errorf("decided by %s", got)
		}
		if got := <-decided; got != "slow" {
			t.Errorf("the decision under way ended with %s", got)
		}
		synctest.Wait()
		if slow.closed.Load() != 1 {
			t.Error("not closed after its last decision")
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWaitsForDecisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := refuser("slow")
		slow.ask = func(context.Context, sdk.Role, []byte) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return nil, errors.New("too late")
		}
		e := New(Deps{}, admits(slow))
		decided := make(chan string, 1)
		go func() { decided <- decidedBy(t, e) }()
		synctest.Wait()
		start := time.Now()
		if err := e.Close(); err != nil || time.Since(start) != 50*time.Millisecond || slow.closed.Load() != 1 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if got := <-decided; got != "default" {
			t.Errorf("decided by %s", got)
		}
	})
}

// TestSwapUnderLoad: no decision is lost or made by a closed policy while configurations come and go.
func TestSwapUnderLoad(t *testing.T) {
	alive := func() *closer {
		c := refuser("alive")
		answer := c.ask
		c.ask = func(ctx context.Context, role sdk.Role, request []byte) ([]byte, error) {
			if c.closed.Load() > 0 {
				return nil, errors.New("asked after it was closed")
			}
			return answer(ctx, role, request)
		}
		return c
	}
	e := New(Deps{}, admits(alive()))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a, err := e.Admit(t.Context(), admitRequest()); err != nil || a.Policy != "alive" {
					t.Errorf("%+v, %v", a, err)
					return
				}
				e.Status()
			}
		})
	}
	for i := range 200 {
		if err := e.Swap(t.Context(), admits(alive())); err != nil {
			t.Error(err)
		}
		if i%3 == 0 {
			if err := e.Rollback(); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	if err := e.Close(); err != nil || e.live != 0 || len(e.uses) != 0 {
		t.Errorf("%d generations live, %d policies held, %v", e.live, len(e.uses), err)
	}
}

// TestSwapTestsFirst: a policy that cannot answer the golden question never decides anything.
func TestSwapTestsFirst(t *testing.T) {
	good := refuser("good")
	e := New(Deps{}, admits(good))
	defer e.Close()
	for name, p := range map[string]*closer{
		"traps": {scripted: scripted{ask: func(context.Context, sdk.Role, []byte) ([]byte, error) { return nil, errors.New("trap") }}},
		"lies":  {scripted: scripted{ask: says("", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: 9}).ask}},
	} {
		p.name = name
		other := refuser("other")
		err := e.Swap(t.Context(), admits(good, other, p))
		if !errors.Is(err, ErrSelfTest) || !strings.Contains(err.Error(), "reciprocity policy "+name+" (decider)") {
			t.Errorf("%s: %v", name, err)
		}
		e.closing.Wait()
		if p.closed.Load() != 1 || other.closed.Load() != 1 || good.closed.Load() != 0 || decidedBy(t, e) != "good" {
			t.Errorf("%s: the old configuration was touched", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Swap(ctx, admits(refuser("b"))); !errors.Is(err, context.Canceled) || e.Status().Generation != 1 {
		t.Errorf("%v", err)
	}
}

func TestSelfTestHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &scripted{name: "hangs", ask: func(ctx context.Context, _ sdk.Role, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		start := time.Now()
		if err := SelfTest(t.Context(), sdk.RoleRepair, PartGuard, hangs); !errors.Is(err, ErrSelfTest) || time.Since(start) != selfTestTime {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestTheDefaultsPassTheSelfTest(t *testing.T) {
	for _, role := range roles() {
		if err := SelfTest(t.Context(), role, PartDefault, newDefault()); err != nil {
			t.Error(err)
		}
	}
	if err := SelfTest(t.Context(), "cooking", PartDefault, newDefault()); !errors.Is(err, ErrSelfTest) {
		t.Errorf("another role: %v", err)
	}
	// A decider makes no guard.
	if err := SelfTest(t.Context(), sdk.RolePlacement, PartGuard, newDefault()); !errors.Is(err, ErrRule) {
		t.Errorf("%v", err)
	}
}

// described is a policy that says what it is.
type described struct {
	closer
	is sdk.Description
}

func (d *described) Description() *sdk.Description { return &d.is }

func TestFits(t *testing.T) {
	placer := &described{is: sdk.Description{Version: "7", Places: true, Guard: true}}
	placer.name, placer.ask = "placer", says("", &sdk.PlaceResponse{Status: sdk.Status_PASS}).ask
	for _, tt := range []struct {
		role sdk.Role
		part Part
		want bool
	}{
		{sdk.RolePlacement, PartGuard, true},
		{sdk.RolePlacement, PartDecider, false},
		{sdk.RolePlacement, PartDefault, false},
		{sdk.RoleRepair, PartGuard, false},
	} {
		if err := SelfTest(t.Context(), tt.role, tt.part, placer); (err == nil) != tt.want || err != nil && !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s %s: %v", tt.role, tt.part, err)
		}
	}
	e := New(Deps{}, Config{Placement: Chain{Guards: []Guard{{Policy: placer, Closed: true}}}})
	defer e.Close()
	if s := e.Status().Policies[0]; s.Version != "7" || s.Part != PartGuard || !s.Closed || s.State != Closed {
		t.Errorf("%+v", s)
	}
}

func TestConfigClose(t *testing.T) {
	a, b := refuser("a"), refuser("b")
	c := Config{
		Placement: Chain{Guards: []Guard{{Policy: a}}, Default: b}, Reciprocity: Chain{Deciders: []Policy{a, says("c", &sdk.AdmitResponse{})}},
		LastResort: b,
	}
	b.fail = errors.New("stuck")
	if err := c.Close(); !errors.Is(err, b.fail) || a.closed.Load() != 1 || b.closed.Load() != 1 {
		t.Errorf("closed %d and %d times, %v", a.closed.Load(), b.closed.Load(), err)
	}
}

// TestNativeCanBeCompiledOut: in such a build nothing native is left that could stand in for a plugin.
func TestNativeCanBeCompiledOut(t *testing.T) {
	for tags, want := range map[string]bool{"": true, "tesseras_nonative": false} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "tesseras/plugins"); got != want {
			t.Errorf("tags %q: the default policies are linked in: %v", tags, got)
		}
	}
}
