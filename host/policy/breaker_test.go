package policy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// clock is a time that tests move by hand.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time       { return c.t }
func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }

func TestCircuit(t *testing.T) {
	clock, b := newClock(), Breaker{Failures: 3, Rest: time.Minute}
	c := &circuit{}
	ask := func(failed bool) (taken, back bool) {
		t.Helper()
		leave, ok := c.admit(clock.now())
		if !ok {
			t.Fatal("not admitted")
		}
		return c.done(leave, failed, clock.now(), b)
	}
	for _, failed := range []bool{true, true, false, true, true} { // a success starts the count anew
		if taken, _ := ask(failed); taken || c.current() != Closed {
			t.Fatal("taken out too early")
		}
	}
	if taken, _ := ask(true); !taken || c.current() != Open {
		t.Fatal("not taken out after three in a row")
	}
	clock.pass(time.Minute - 1)
	if _, ok := c.admit(clock.now()); ok {
		t.Error("asked while taken out")
	}
	clock.pass(1)
	if taken, back := ask(true); taken || back || c.current() != Open {
		t.Error("a failed probe is no news")
	}
	clock.pass(time.Minute)
	probe, ok := c.admit(clock.now())
	if !ok || c.current() != HalfOpen {
		t.Fatal("no probe")
	}
	if _, ok := c.admit(clock.now()); ok {
		t.Error("two probes at once")
	}
	c.abandon(probe)
	if _, back := ask(false); !back || c.current() != Closed {
		t.Error("the probe after one that was abandoned does not count")
	}
}

// TestLateResults: what was asked before a policy was taken out says nothing about it any more.
func TestLateResults(t *testing.T) {
	clock, b := newClock(), Breaker{Failures: 1, Rest: time.Minute}
	c := &circuit{}
	early, _ := c.admit(clock.now())
	late, _ := c.admit(clock.now())
	c.done(early, true, clock.now(), b)
	if _, back := c.done(late, false, clock.now(), b); back || c.current() != Open {
		t.Error("brought back by an old answer")
	}
	clock.pass(time.Minute)
	probe, _ := c.admit(clock.now())
	c.done(late, true, clock.now(), b)
	c.abandon(late)
	if c.current() != HalfOpen {
		t.Error("the probe was cut short by an old answer")
	}
	if _, back := c.done(probe, false, clock.now(), b); !back {
		t.Error("not back")
	}
}

// TestAFailingPolicyIsTakenOut follows a decider through all states, in the figures and in the log.
func TestAFailingPolicyIsTakenOut(t *testing.T) {
	broken := true
	flaky := &scripted{name: "flaky", ask: func(context.Context, sdk.Role, []byte) ([]byte, error) {
		if broken {
			return nil, errors.New("trap")
		}
		return (&sdk.AdmitResponse{Status: sdk.Status_PASS}).MarshalVT()
	}}
	clock, counters, ring, log := newClock(), &Counters{}, NewRing(100, mib), &bytes.Buffer{}
	e := New(
		Deps{Now: clock.now, Metrics: counters, Recorder: ring, Log: slog.New(slog.NewTextHandler(log, nil))},
		Config{Reciprocity: Chain{Deciders: []Policy{flaky}}, Breaker: Breaker{Failures: 3, Rest: time.Minute}},
	)
	defer e.Close()
	admit := func(times int) {
		t.Helper()
		for range times {
			if a, err := e.Admit(t.Context(), admitRequest()); err != nil || a.Verdict != Accept || a.Policy != "default" {
				t.Fatalf("%+v, %v", a, err)
			}
		}
	}
	stats := func() Stats {
		for _, s := range e.Status().Policies {
			if s.Name == "flaky" {
				return s
			}
		}
		return Stats{}
	}
	admit(10)
	if s := stats(); s.State != Open || s.Calls != 3 || s.Errors != 3 || s.Missed != 7 || s.LastError != "trap" || !s.LastErrorAt.Equal(clock.t) {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(log.String(), "taken out after repeated failures"); n != 1 {
		t.Errorf("said %d times that it is taken out:\n%s", n, log)
	}
	clock.pass(time.Minute)
	admit(5)
	if s := stats(); s.State != Open || s.Calls != 4 || s.Missed != 11 {
		t.Errorf("after a failed probe %+v", s)
	}
	broken = false
	clock.pass(time.Minute)
	admit(5)
	if s := stats(); s.State != Closed || s.Calls != 9 || s.Errors != 4 {
		t.Errorf("after a good probe %+v", s)
	}
	if !strings.Contains(log.String(), "policy is back") {
		t.Error("not said that it is back")
	}
	if counted(counters, "flaky", "test", Failed) != 4 || counted(counters, "flaky", "test", Out) != 11 {
		t.Errorf("%v", counters.List())
	}
	if got := counters.Alarms(); len(got) != 1 || got[0] != (AlarmCount{sdk.RoleReciprocity, "flaky", AlarmTakenOut, 1}) {
		t.Errorf("alarms %v", got)
	}
	if step := ring.List()[5].Steps[0]; step.Outcome != Out || step.Error == "" {
		t.Errorf("%+v", step)
	}
}

// TestTheLastResortIsLoudAndAlwaysThere: after a failure of the default itself.
func TestTheLastResortIsLoudAndAlwaysThere(t *testing.T) {
	broken := NewUnusable("default", "wasm", errors.New("compile bomb"))
	e, counters, ring := engine(t, Config{Reciprocity: Chain{Default: broken}, Breaker: Breaker{Failures: 2}})
	for range 6 {
		a, err := e.Admit(t.Context(), admitRequest())
		if err != nil || a.Verdict != Accept || a.Policy != "default" || a.Runtime != "native" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if counted(counters, "default", "wasm", Failed) != 2 || counted(counters, "default", "wasm", Out) != 4 || counted(counters, "default", "native", Answered) != 6 {
		t.Errorf("%v", counters.List())
	}
	if d := ring.List()[0]; d.Steps[1].Part != PartLastResort || d.Steps[0].Part != PartDefault {
		t.Errorf("%+v", d.Steps)
	}
	var lastResort uint64
	for _, a := range counters.Alarms() {
		if a.Alarm == AlarmLastResort {
			lastResort += a.Times
		}
	}
	if lastResort != 6 {
		t.Errorf("alarms %v", counters.Alarms())
	}
	if _, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 5, 1)}}); err != nil {
		t.Error(err)
	}
	if counted(counters, "default", "native", Answered) != 7 || len(counters.Alarms()) != 2 {
		t.Errorf("where the default works nobody is alarmed: %v, %v", counters.List(), counters.Alarms())
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if h.quantile(50) != 0 {
		t.Error("a quantile of nothing")
	}
	for ms := range 100 {
		h.add(time.Duration(ms+1) * time.Millisecond)
	}
	for percent, want := range map[uint32]time.Duration{1: time.Millisecond, 50: 50 * time.Millisecond, 99: 99 * time.Millisecond} {
		if got := h.quantile(percent); got < want || got > want*5/4+1 {
			t.Errorf("p%d = %v, want %v", percent, got, want)
		}
	}
	for _, d := range []time.Duration{-1, 0, 1, time.Microsecond, time.Hour, 1 << 62} {
		h.add(d)
	}
	for range 4 * fadeAfter {
		h.add(time.Second)
	}
	if got := h.quantile(1); got < time.Second || h.total > fadeAfter {
		t.Errorf("old durations do not fade: p1 = %v of %d", got, h.total)
	}
	for i := range h.counts {
		if end := bucketEnd(i); bucketOf(end-1) != i || i+1 < len(h.counts) && bucketOf(end) != i+1 {
			t.Errorf("bucket %d ends at %v", i, end)
		}
	}
}
