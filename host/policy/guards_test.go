package policy

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

var errTrap = errors.New("trap")

// fails is a policy that never answers.
func fails(name string) *scripted {
	return &scripted{name: name, ask: func(context.Context, sdk.Role, []byte) ([]byte, error) { return nil, errTrap }}
}

// excludes is a guard that excludes the candidates a test names, by the number of their peer.
func excludes(name, reason string, peers ...int) *scripted {
	return &scripted{name: name, ask: func(_ context.Context, _ sdk.Role, request []byte) ([]byte, error) {
		var r sdk.PlaceRequest
		if err := r.UnmarshalVT(request); err != nil {
			return nil, err
		}
		a := &sdk.PlaceResponse{Status: sdk.Status_OK}
		for i, c := range r.Candidates {
			if slices.ContainsFunc(peers, func(n int) bool { return bytes.Equal(c.Id, id("peer", n)) }) {
				a.Notes = append(a.Notes, &sdk.PeerNote{Candidate: uint32(i), Excluded: true, Reason: reason})
			}
		}
		return a.MarshalVT()
	}}
}

func guards(p ...Policy) (out []Guard) {
	for _, p := range p {
		out = append(out, Guard{Policy: p})
	}
	return out
}

// asked decodes what the default was asked in the end.
func asked(t *testing.T, d Decision) *sdk.PlaceRequest {
	t.Helper()
	var r sdk.PlaceRequest
	if err := r.UnmarshalVT(d.Request); err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestExcludedPeersGetNothing(t *testing.T) {
	e, _, ring := engine(t, Config{Placement: Chain{Guards: guards(excludes("law", "not in this country", 1, 2), excludes("quota", "", 2, 3))}})
	p, err := e.Place(t.Context(), placeRequest(16, 24, alone(12)...))
	if err != nil || len(p.Assignments) != 24 || p.Policy != "default" || p.Reason != "24 fragments placed, 9 peers in use; guards excluded 3 peers" {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, a := range p.Assignments {
		for _, n := range []int{1, 2, 3} {
			if a.Peer == peer(n) || slices.Contains(a.Alternates, peer(n)) {
				t.Errorf("fragment %d may go to peer %d", a.Fragment, n)
			}
		}
	}
	for n, want := range map[int]string{
		1: "excluded by law: not in this country",
		2: "excluded by law: not in this country; by quota: it gives no reason",
		3: "excluded by quota: it gives no reason",
	} {
		if !slices.Contains(p.Notes, Note{peer(n), want}) {
			t.Errorf("peer %d: %v", n, p.Notes)
		}
	}
	d, _ := ring.Get(p.Decision)
	if len(d.Steps) != 3 || d.Steps[0].Part != PartGuard || d.Steps[0].Response == nil || d.Steps[2].Part != PartDefault || d.Steps[2].Response != nil {
		t.Errorf("%+v", d.Steps)
	}
	if len(asked(t, d).Candidates) != 9 || asked(t, d).Guarding {
		t.Errorf("asked %v", asked(t, d))
	}
	var question sdk.PlaceRequest
	if err := question.UnmarshalVT(d.Question); err != nil || len(question.Candidates) != 12 || !question.Guarding {
		t.Errorf("guards were asked %v, %v", &question, err)
	}
}

func TestWhereGuardsExcludeAllItIsDeferred(t *testing.T) {
	e, _, _ := engine(t, Config{Placement: Chain{Guards: guards(excludes("law", "no", 0, 1))}})
	_, err := e.Place(t.Context(), placeRequest(1, 2, alone(2)...))
	var deferred *DeferredError
	if !errors.As(err, &deferred) || len(deferred.Notes) != 2 || !strings.HasSuffix(deferred.Reason, "; guards excluded 2 peers") {
		t.Errorf("%+v, %v", deferred, err)
	}
}

// TestScoresAndCapsAreMerged: the decider sees the sum of the scores and the lowest caps.
func TestScoresAndCapsAreMerged(t *testing.T) {
	guard := func(name string, score int32, caps *sdk.Caps) Policy {
		return says(name, &sdk.PlaceResponse{Status: sdk.Status_OK, Caps: caps, Notes: []*sdk.PeerNote{
			{Candidate: 0, Score: score}, {Candidate: 1, Score: math.MaxInt32}, {Candidate: 2, Score: math.MinInt32},
		}})
	}
	e, _, ring := engine(t, Config{Placement: Chain{Guards: guards(
		guard("a", 7, &sdk.Caps{PerSubnet: 3, InstitutionalPpm: 100_000}),
		guard("b", -2, &sdk.Caps{PerSubnet: 1, Strict: true, Replicas: 7}),
		guard("c", 0, nil),
	)}})
	r := placeRequest(16, 24, alone(12)...)
	r.Candidates[3].Score = 99 // not a caller's to give
	p, err := e.Place(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := ring.Get(p.Decision)
	got := asked(t, d)
	if caps := got.Caps; caps.Replicas != 7 || caps.PerSubnet != 1 || !caps.Strict || caps.InstitutionalPpm != 100_000 {
		t.Errorf("caps %v", got.Caps)
	}
	var scores []int32
	for _, c := range got.Candidates {
		scores = append(scores, c.Score)
	}
	if want := []int32{5, math.MaxInt32, math.MinInt32, 0, 0, 0, 0, 0, 0, 0, 0, 0}; !slices.Equal(scores, want) {
		t.Errorf("scores %v", scores)
	}
	if r.Candidates[3].Score != 99 || r.Caps.PerSubnet != 2 || r.Guarding {
		t.Error("the caller's request was changed")
	}
}

// TestExcludingOpensNoFullNetwork: with twelve networks the subnet cap does not yield, and not because a
// guard leaves three of them either.
func TestExcludingOpensNoFullNetwork(t *testing.T) {
	var peers []*sdk.Candidate
	var abroad []int
	for i := range 36 {
		peers = append(peers, in(i, i/3))
		if i >= 9 {
			abroad = append(abroad, i)
		}
	}
	e, _, ring := engine(t, Config{Placement: Chain{Guards: guards(excludes("law", "abroad", abroad...))}})
	p, err := e.Place(t.Context(), placeRequest(16, 24, peers...))
	if err != nil || p.SubnetCapYielded {
		t.Fatalf("%+v, %v", p, err)
	}
	used := map[sdk.NodeID]bool{}
	for _, a := range p.Assignments {
		used[a.Peer] = true
	}
	if d, _ := ring.Get(p.Decision); len(used) != 6 || !asked(t, d).Caps.Strict {
		t.Errorf("%d peers in three networks", len(used))
	}
	// Without the guard and with those peers alone there is no other way.
	e, _, _ = engine(t, Config{})
	if p, err := e.Place(t.Context(), placeRequest(16, 24, peers[:9]...)); err != nil || !p.SubnetCapYielded {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestGuardsThatMayNot(t *testing.T) {
	tests := []struct {
		name   string
		role   sdk.Role
		answer interface{ MarshalVT() ([]byte, error) }
		rule   Rule
	}{
		{"places", sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_OK, Assignments: []*sdk.Assignment{{}}}, RuleGuard},
		{"lets the cap yield", sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_OK, SubnetCapYielded: true}, RuleGuard},
		{"wants fewer peers", sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_OK, Caps: &sdk.Caps{Replicas: 1}}, RuleGuard},
		{"names a stranger", sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_OK, Notes: []*sdk.PeerNote{{Candidate: 12}}}, RuleUnknownPeer},
		{"defers mutely", sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_DEFER}, RuleNoReason},
		{"says nothing", sdk.RolePlacement, &sdk.PlaceResponse{}, RuleEmpty},
		{"gives custody", sdk.RoleReciprocity, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT, Custody: true}, RuleGuard},
		{"refuses mutely", sdk.RoleReciprocity, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE}, RuleNoReason},
		{"has another verdict", sdk.RoleReciprocity, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: 9, Reason: "?"}, RuleEmpty},
		{"puts off", sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_DEFER, Reason: "at night"}, RuleGuard},
		{"waits", sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Priority: 1, WaitMs: 1}}}, RuleGuard},
		{"rebuilds less", sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Priority: 1, Rebuild: 1}}}, RuleGuard},
		{"raises a stranger", sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 7}}}, RuleUnknownTessera},
	}
	for _, tt := range tests {
		var config Config
		for _, chain := range []*Chain{&config.Placement, &config.Reciprocity, &config.Repair} {
			chain.Guards = guards(says("bad", tt.answer))
		}
		e, counters, ring := engine(t, config)
		askAll(t, e, tt.role)
		d := ring.List()[0]
		if counted(counters, "bad", "test", Invalid) != 1 || !strings.Contains(d.Steps[0].Error, string(tt.rule)) || d.Policy != "default" {
			t.Errorf("%s: %+v", tt.name, d.Steps)
		}
	}
}

// askAll puts a plain question of a role and expects a decision.
func askAll(t *testing.T, e *Engine, role sdk.Role) {
	t.Helper()
	var err error
	switch role {
	case sdk.RolePlacement:
		_, err = e.Place(t.Context(), placeRequest(16, 24, alone(12)...))
	case sdk.RoleReciprocity:
		_, err = e.Admit(t.Context(), admitRequest())
	case sdk.RoleRepair:
		_, err = e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 5, 1)}})
	}
	if err != nil {
		t.Error(err)
	}
}

// TestClosedGuards: without one of them nothing is decided, but what is critical is repaired.
func TestClosedGuards(t *testing.T) {
	for _, closed := range []bool{false, true} {
		list := []Guard{{Policy: fails("law"), Closed: closed}, {Policy: says("fine", &sdk.PlaceResponse{Status: sdk.Status_PASS})}}
		e, counters, ring := engine(t, Config{
			Placement: Chain{Guards: list}, Reciprocity: Chain{Guards: list}, Repair: Chain{Guards: list}, Breaker: Breaker{Failures: 1},
		})
		p, placeErr := e.Place(t.Context(), placeRequest(16, 24, alone(12)...))
		a, err := e.Admit(t.Context(), admitRequest())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := e.Repair(t.Context(), &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 5, 1), health(1, 1, 1)}})
		if err != nil {
			t.Fatal(err)
		}
		if !closed {
			if placeErr != nil || p.Policy != "default" || a.Verdict != Accept || plan.Deferred || len(plan.Orders) != 2 {
				t.Errorf("skip: %v, %v, %+v, %+v", p, placeErr, a, plan)
			}
			continue
		}
		const words = "guard law failed, and nothing is decided without it"
		var deferred *DeferredError
		if !errors.As(placeErr, &deferred) || deferred.Reason != words || deferred.Policy != "law" || errors.Is(placeErr, ErrNoAnswer) {
			t.Errorf("closed: %v", placeErr)
		}
		if a.Verdict != Later || a.Reason != words || a.RetryAfter != time.Minute || a.Policy != "law" {
			t.Errorf("closed: %+v", a)
		}
		if !plan.Deferred || plan.Reason != words || len(plan.Orders) != 1 || !plan.Orders[0].Critical || !plan.Orders[0].ByHost {
			t.Errorf("closed: %+v", plan)
		}
		// Taken out is failed, too: a closed guard stays closed.
		if _, err := e.Place(t.Context(), placeRequest(16, 24, alone(12)...)); !errors.Is(err, ErrDeferred) || counted(counters, "law", "test", Out) != 1 {
			t.Errorf("taken out: %v, %v", err, counters.List())
		}
		alarms := uint64(0)
		for _, a := range counters.Alarms() {
			if a.Alarm == AlarmGuard && a.Policy == "law" {
				alarms += a.Times
			}
		}
		if alarms != 4 {
			t.Errorf("%v", counters.Alarms())
		}
		if d := ring.List()[0]; d.Outcome != Deferred || d.Response != nil || !bytes.Equal(d.Request, d.Question) || d.Reason != words {
			t.Errorf("%+v", d)
		}
	}
}

func TestGuardsThatDeferOrRefuse(t *testing.T) {
	deferring := func(name, why string) Policy {
		return says(name, &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: why, Notes: []*sdk.PeerNote{{Candidate: 2, Excluded: true, Reason: "far"}}})
	}
	e, _, _ := engine(t, Config{Placement: Chain{Guards: guards(deferring("b", "too few countries"), deferring("a", "Sunday"))}})
	_, err := e.Place(t.Context(), placeRequest(16, 24, alone(12)...))
	var deferred *DeferredError
	if !errors.As(err, &deferred) || deferred.Reason != "Sunday; too few countries" || deferred.Policy != "a" || len(deferred.Notes) != 1 {
		t.Errorf("%+v", err)
	}

	later := says("night", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_LATER, Reason: "at night", RetryAfterMs: 5000})
	defers := says("day", &sdk.AdmitResponse{Status: sdk.Status_DEFER, Reason: "by day", RetryAfterMs: 9000})
	no := says("no", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: "never"})
	yes := says("yes", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT})
	for _, tt := range []struct {
		guards []Guard
		want   Admission
	}{
		{guards(yes), Admission{Verdict: Accept, Source: Source{Policy: "default"}, Reason: "within what owners that never held anything for us may have"}},
		{guards(yes, later), Admission{Verdict: Later, Source: Source{Policy: "night"}, Reason: "at night", RetryAfter: 5 * time.Second}},
		{guards(later, defers), Admission{Verdict: Later, Source: Source{Policy: "day"}, Reason: "by day; at night", RetryAfter: 9 * time.Second}},
		{guards(later, no, defers), Admission{Verdict: Refuse, Source: Source{Policy: "no"}, Reason: "never"}},
	} {
		e, _, ring := engine(t, Config{Reciprocity: Chain{Guards: tt.guards}})
		a, err := e.Admit(t.Context(), admitRequest())
		if err != nil || a.Verdict != tt.want.Verdict || a.Policy != tt.want.Policy || a.Reason != tt.want.Reason || a.RetryAfter != tt.want.RetryAfter {
			t.Errorf("%+v, %v, want %+v", a, err, tt.want)
		}
		if d := ring.List()[0]; d.Policy != "default" && (d.Response == nil || !bytes.Equal(d.Request, d.Question)) {
			t.Errorf("%+v", d)
		}
	}
}

// TestRecordedAnswersCheckOut: what was recorded as an answer is one, by the bytes alone.
func TestRecordedAnswersCheckOut(t *testing.T) {
	list := guards(excludes("law", "far", 1, 2))
	e, _, ring := engine(t, Config{Placement: Chain{Guards: list}})
	for _, role := range roles() {
		askAll(t, e, role)
	}
	for _, d := range ring.List() {
		if outcome, err := Check(d.Role, PartDecider, d.Request, d.Response); err != nil || outcome != Answered {
			t.Errorf("%s: %s, %v", d.Role, outcome, err)
		}
		for _, s := range d.Steps {
			if s.Part != PartGuard {
				continue
			}
			if outcome, err := Check(d.Role, PartGuard, d.Question, s.Response); err != nil || outcome != Answered {
				t.Errorf("%s guard: %s, %v", d.Role, outcome, err)
			}
		}
		if _, err := Check(d.Role, PartDecider, []byte{0xff}, d.Response); !errors.Is(err, ErrRequest) {
			t.Errorf("no request: %v", err)
		}
		if _, err := Check(d.Role, PartDecider, nil, d.Response); d.Role != sdk.RoleRepair && !errors.Is(err, ErrRequest) {
			t.Errorf("%s, an empty request: %v", d.Role, err)
		}
		if outcome, err := Check(d.Role, PartDecider, d.Request, []byte{0xff}); err == nil || outcome != Invalid {
			t.Errorf("%s, no answer: %v", d.Role, outcome)
		}
		if _, err := Check(d.Role, PartGuard, d.Request, make([]byte, sdk.MaxResponse+1)); err == nil {
			t.Error("a huge answer")
		}
	}
	if _, err := Check("cooking", PartDecider, nil, nil); !errors.Is(err, ErrRequest) {
		t.Errorf("%v", err)
	}
}
