package policy

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/policy/native"
	"github.com/tesseras/tesseras/plugins"
	"github.com/tesseras/tesseras/sdk"
)

var _ Policy = (*native.Policy)(nil)

func newDefault() *native.Policy { return native.New(plugins.DefaultName, plugins.Default()) }

func TestDefaultsAnswerEverything(t *testing.T) {
	e, counters, ring := engine(t, Config{})
	p, err := e.Place(t.Context(), placeRequest(16, 24, alone(12)...))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Assignments) != 24 || len(p.Unplaced) != 0 || p.SubnetCapYielded || p.Policy != "default" || p.Runtime != "native" {
		t.Errorf("%+v", p)
	}
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil || a.Verdict != Accept || a.Reason == "" {
		t.Errorf("%+v, %v", a, err)
	}
	r, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 8, 2), health(1, 3, 1)}})
	if err != nil || len(r.Orders) != 2 || r.Orders[0].Tessera != sdk.TesseraID(id("tessera", 1)) || r.Deferred {
		t.Errorf("%+v, %v", r, err)
	}
	if n := counted(counters, "default", "native", Answered); n != 3 {
		t.Errorf("%d answers counted: %v", n, counters.List())
	}
	if kept := ring.List(); len(kept) != 3 || kept[0].ID != p.Decision || kept[1].ID != a.Decision || kept[2].ID != r.Sources[0].Decision {
		t.Errorf("decisions kept: %v", kept)
	}
}

// TestDecisionsCanBeReplayed asks the recorded bytes again.
func TestDecisionsCanBeReplayed(t *testing.T) {
	e, _, ring := engine(t, Config{})
	p, err := e.Place(t.Context(), placeRequest(48, 72, alone(100)...))
	if err != nil {
		t.Fatal(err)
	}
	d, found := ring.Get(p.Decision)
	if !found || d.RequestDigest != digest.Of(d.Request) || d.Role != sdk.RolePlacement || len(d.Steps) != 1 {
		t.Fatalf("found %v: %+v", found, d)
	}
	again, err := newDefault().Ask(t.Context(), d.Role, d.Request)
	if err != nil || !bytes.Equal(again, d.Response) {
		t.Errorf("replayed differently: %v", err)
	}
	if _, found := ring.Get("none"); found {
		t.Error("found a decision that was not made")
	}
}

func TestDecidersAreAskedInOrder(t *testing.T) {
	pass := says("first", &sdk.AdmitResponse{Status: sdk.Status_PASS})
	refuse := says("second", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: "not on Sundays"})
	third := says("third", &sdk.AdmitResponse{Status: sdk.Status_PASS})
	e, counters, ring := engine(t, Config{}, pass, refuse, third)
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil || a.Verdict != Refuse || a.Reason != "not on Sundays" || a.Policy != "second" || a.Runtime != "test" {
		t.Fatalf("%+v, %v", a, err)
	}
	if third.calls.Load() != 0 || counted(counters, "default", "native", Answered) != 0 || counted(counters, "first", "test", Passed) != 1 {
		t.Errorf("asked too many: %v", counters.List())
	}
	if d, _ := ring.Get(a.Decision); len(d.Steps) != 2 || d.Steps[0].Outcome != Passed || d.Steps[1].Outcome != Answered {
		t.Errorf("steps %+v", d.Steps)
	}
}

func TestWhereAllPassTheDefaultDecides(t *testing.T) {
	e, counters, _ := engine(t, Config{}, says("mute", &sdk.AdmitResponse{Status: sdk.Status_PASS}))
	if a, err := e.Admit(t.Context(), admitRequest()); err != nil || a.Policy != "default" {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := counted(counters, "default", "native", Answered); n != 1 {
		t.Errorf("the default answered %d times", n)
	}
}

func TestAFailedPolicyCostsALine(t *testing.T) {
	broken := &scripted{name: "broken", ask: func(context.Context, sdk.Role, []byte) ([]byte, error) {
		return nil, errors.New("trap:\n\x1b[31munreachable")
	}}
	e, counters, ring := engine(t, Config{}, broken)
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil || a.Verdict != Accept || a.Policy != "default" {
		t.Fatalf("%+v, %v", a, err)
	}
	if counted(counters, "broken", "test", Failed) != 1 {
		t.Errorf("%v", counters.List())
	}
	if d, _ := ring.Get(a.Decision); d.Steps[0].Error != "trap:??[31munreachable" {
		t.Errorf("recorded %q", d.Steps[0].Error)
	}
}

func TestBadAnswersAreFailures(t *testing.T) {
	long := &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: strings.Repeat("x", sdk.MaxResponse)}
	for name, p := range map[string]*scripted{
		"empty":        says("p", &sdk.AdmitResponse{}),
		"not protobuf": {name: "p", ask: func(context.Context, sdk.Role, []byte) ([]byte, error) { return []byte{0xff}, nil }},
		"too long":     says("p", long),
		"unknown":      says("p", &sdk.AdmitResponse{Status: 99}),
		"invalid":      says("p", &sdk.AdmitResponse{Status: sdk.Status_INVALID, Reason: "what?"}),
		"mute defer":   says("p", &sdk.AdmitResponse{Status: sdk.Status_DEFER}),
	} {
		e, counters, _ := engine(t, Config{}, p)
		if a, err := e.Admit(t.Context(), admitRequest()); err != nil || a.Policy != "default" || counted(counters, "p", "test", Invalid) != 1 {
			t.Errorf("%s: %+v, %v, %v", name, a, err, counters.List())
		}
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &scripted{name: "hangs", ask: func(ctx context.Context, _ sdk.Role, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		e, counters, ring := engine(t, Config{Deadlines: Deadlines{Repair: time.Minute}}, hangs)
		for _, tt := range []struct {
			want time.Duration
			ask  func() error
		}{
			{time.Second, func() error { _, err := e.Place(t.Context(), placeRequest(16, 24, alone(9)...)); return err }},
			{100 * time.Millisecond, func() error { _, err := e.Admit(t.Context(), admitRequest()); return err }},
			{time.Minute, func() error {
				_, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 8, 1)}})
				return err
			}},
		} {
			start := time.Now()
			if err := tt.ask(); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != tt.want {
				t.Errorf("took %v, the deadline is %v", took, tt.want)
			}
		}
		if n := counted(counters, "hangs", "test", Failed); n != 3 {
			t.Errorf("%d failures counted", n)
		}
		if step := ring.List()[0].Steps[0]; step.Error != "no answer within 1s" || step.Took != time.Second {
			t.Errorf("%+v", step)
		}
	})
}

// slow is a placement policy that sleeps and then answers as the default does.
type slow struct{ time.Duration }

func (s slow) Place(r *sdk.PlaceRequest) *sdk.PlaceResponse {
	time.Sleep(s.Duration)
	return plugins.Default().Placement.Place(r)
}

// TestTheLastResortHasNoDeadline: a machine too busy to answer in time still gets its answer.
func TestTheLastResortHasNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := native.New("busy", plugins.Set{Placement: slow{5 * time.Second}})
		e, counters, _ := engine(t, Config{Placement: Chain{Default: busy}, LastResort: busy})
		if _, err := e.Place(t.Context(), placeRequest(16, 24, alone(9)...)); err != nil {
			t.Fatal(err)
		}
		if counted(counters, "busy", "native", Failed) != 1 || counted(counters, "busy", "native", Answered) != 1 {
			t.Errorf("%v", counters.List())
		}
		if err := e.Close(); err != nil { // waits for the one that was left alone
			t.Error(err)
		}
	})
}

// panics is a policy with a bug.
type panics struct{}

func (panics) Admit(*sdk.AdmitRequest) *sdk.AdmitResponse { panic("division by zero") }

func TestAPanicIsAFailure(t *testing.T) {
	e, counters, ring := engine(t, Config{}, native.New("buggy", plugins.Set{Reciprocity: panics{}}))
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil || a.Policy != "default" || counted(counters, "buggy", "native", Failed) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if d, _ := ring.Get(a.Decision); d.Steps[0].Error != "panic: division by zero" {
		t.Errorf("%+v", d.Steps)
	}
	if _, err := native.New("x", plugins.Set{}).Ask(t.Context(), sdk.RoleRepair, nil); !errors.Is(err, sdk.ErrRole) {
		t.Errorf("a role it does not play: %v", err)
	}
}

func TestWithoutDefaultsNobodyStepsIn(t *testing.T) {
	e, counters, ring := engine(t, Config{NoDefaults: true}, says("mute", &sdk.PlaceResponse{Status: sdk.Status_PASS}))
	_, err := e.Place(t.Context(), placeRequest(16, 24, alone(9)...))
	var none *NoAnswerError
	if !errors.Is(err, ErrNoAnswer) || !errors.As(err, &none) || len(none.Steps) != 1 || none.Steps[0].Policy != "mute" {
		t.Fatalf("%v", err)
	}
	if want := "placement: no policy answered: mute (test) passed"; err.Error() != want || !errors.Is(err, ErrDeferred) {
		t.Errorf("%q", err)
	}
	if kept := ring.List(); len(kept) != 1 || kept[0].Response != nil || kept[0].Outcome != Failed || kept[0].Reason != err.Error() {
		t.Errorf("recorded %v", kept)
	}
	a, err := e.Admit(t.Context(), admitRequest())
	if err != nil || a.Verdict != Later || a.RetryAfter != time.Minute || a.Policy != "" {
		t.Errorf("%+v, %v", a, err)
	}
	if got := counters.Alarms(); len(got) != 2 || got[0].Alarm != AlarmNoAnswer {
		t.Errorf("alarms %v", got)
	}

	e, _, _ = engine(t, Config{NoDefaults: true})
	if _, err := e.Place(t.Context(), placeRequest(16, 24, alone(9)...)); err == nil || err.Error() != "placement: no policy answered: none is configured" {
		t.Errorf("%v", err)
	}
	// What is critical is repaired all the same.
	plan, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 1, 1), health(1, 5, 1)}})
	if err != nil || !plan.Deferred || len(plan.Orders) != 1 || !plan.Orders[0].ByHost || !plan.Orders[0].Critical {
		t.Errorf("%+v, %v", plan, err)
	}
}

// TestTheCallersContext: who gives up is not answered, and no policy is blamed for it.
func TestTheCallersContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the peer hung up")
	cancel(gone)
	waits := &scripted{name: "waits", ask: func(ctx context.Context, _ sdk.Role, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	e, counters, _ := engine(t, Config{}, waits)
	if _, err := e.Admit(ctx, admitRequest()); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := e.Repair(ctx, &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 1, 1)}}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if got := counters.List(); len(got) != 0 {
		t.Errorf("counted %v", got)
	}
}

func TestRingIsBounded(t *testing.T) {
	r := NewRing(3, 100)
	for i := range 5 {
		r.Record(Decision{ID: string(rune('a' + i)), Request: make([]byte, 30)})
	}
	if got := ids(r); got != "cde" {
		t.Errorf("kept %q", got)
	}
	r.Record(Decision{ID: "f", Response: make([]byte, 60)})
	if got := ids(r); got != "ef" {
		t.Errorf("kept %q", got)
	}
	r.Record(Decision{ID: "g", Response: make([]byte, 101)})
	if got := ids(r); got != "ef" {
		t.Errorf("kept %q", got)
	}
}

func ids(r *Ring) (out string) {
	for _, d := range r.List() {
		out += d.ID
	}
	return out
}

func TestConcurrentQuestions(t *testing.T) {
	e, counters, ring := engine(t, Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := e.Admit(t.Context(), admitRequest()); err != nil {
					t.Error(err)
				}
				if _, err := e.Place(t.Context(), placeRequest(2, 3, alone(5)...)); err != nil {
					t.Error(err)
				}
				ring.List()
			}
		})
	}
	wg.Wait()
	if n := counted(counters, "default", "native", Answered); n != 320 {
		t.Errorf("%d answers", n)
	}
	seen := map[string]bool{}
	for _, d := range ring.List() {
		if seen[d.ID] || len(d.ID) != 16 {
			t.Errorf("decision id %q", d.ID)
		}
		seen[d.ID] = true
	}
}
