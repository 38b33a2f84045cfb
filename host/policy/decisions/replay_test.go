package decisions

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// busy is a log with one decision of each role, made under a guard.
func busy(t *testing.T) (*Log, map[sdk.Role]policy.Decision) {
	t.Helper()
	e, l := node(t, policy.Config{Placement: policy.Chain{Guards: []policy.Guard{{Policy: law("XX")}}}})
	place(t, e, world())
	if _, err := e.Admit(t.Context(), &sdk.AdmitRequest{
		Tessera: id("tessera", 0), Sender: id("peer", 0), Owner: id("owner", 0), SizeBytes: 4 * mib, Purpose: sdk.Purpose_PUBLISH,
		DeficitAllowance: 256 * mib, NewcomerBudget: 1 << 40, FreeBytes: 1 << 40, MinFreeBytes: 1 << 30,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Repair(t.Context(), &sdk.RepairRequest{IntervalMs: 86_400_000, Tesseras: []*sdk.TesseraHealth{
		{Tessera: id("tessera", 0), SurvivesPeers: 3, Missing: 1, Recoverable: true},
		{Tessera: id("tessera", 1), SurvivesPeers: 4, Missing: 1, Recoverable: true},
	}}); err != nil {
		t.Fatal(err)
	}
	byRole := map[sdk.Role]policy.Decision{}
	for _, d := range collect(t, l.Since(time.Time{})) {
		byRole[d.Role] = d
	}
	return l, byRole
}

func TestReplay(t *testing.T) {
	_, decisions := busy(t)
	for role, d := range decisions {
		r, err := Replay(t.Context(), d, standard())
		if err != nil || !r.Same || r.Asked.Part != policy.PartDefault || len(r.Recorded) == 0 {
			t.Errorf("%s: %+v, %v", role, r, err)
		}
	}
	d := decisions[sdk.RolePlacement]
	if r, err := Replay(t.Context(), d, law("XX")); err != nil || !r.Same || r.Asked.Part != policy.PartGuard || r.DigestRecorded != r.Digest || r.Digest == "" {
		t.Errorf("a guard: %+v, %v", r, err)
	}
	if r, err := Replay(t.Context(), d, law("NL")); err != nil || r.Same {
		t.Errorf("another law: %+v, %v", r, err)
	}
	other := says("other", &sdk.PlaceResponse{Status: sdk.Status_PASS})
	if r, err := Replay(t.Context(), d, other); err != nil || r.Same || r.Asked.Policy != "default" || string(r.Got) != "\x08\x02" {
		t.Errorf("another policy: %+v, %v", r, err)
	}
	trap := errors.New("trap")
	if _, err := Replay(t.Context(), d, &scripted{"x", func(sdk.Role, []byte) ([]byte, error) { return nil, trap }}); !errors.Is(err, trap) {
		t.Errorf("%v", err)
	}
	d.Response = nil
	if _, err := Replay(t.Context(), d, standard()); !errors.Is(err, ErrNothingSaid) {
		t.Errorf("%v", err)
	}
	// A guard that ended the question is replayed as the one that decided.
	e, l := node(t, policy.Config{Placement: policy.Chain{Guards: []policy.Guard{{Policy: says("owl", &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "at night"})}}}})
	var deferred *policy.DeferredError
	if _, err := e.Place(t.Context(), world()); !errors.As(err, &deferred) {
		t.Fatal(err)
	}
	held, err := l.Find(deferred.Decision)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Replay(t.Context(), held, says("owl", &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "by day"})); err != nil || r.Same || r.Asked.Part != policy.PartGuard {
		t.Errorf("%+v, %v", r, err)
	}
}

var everyRole = []sdk.Role{sdk.RolePlacement, sdk.RoleReciprocity, sdk.RoleRepair}

// TestDiffOfADecider: the default against itself, and against policies that decide otherwise.
func TestDiffOfADecider(t *testing.T) {
	l, decisions := busy(t)
	r, err := Diff(t.Context(), l.Since(time.Time{}), standard(), policy.PartDecider, everyRole...)
	if err != nil || r.Asked != 3 || r.Same != 3 || len(r.Differences) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, tt := range map[string]struct {
		role   sdk.Role
		answer encodable
		want   Report
		before string
		after  string
	}{
		"refuses": {
			sdk.RoleReciprocity, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: "no"},
			Report{Asked: 1, Different: 1},
			"accept: within what", "refuse: no",
		},
		"accepts for other reasons": {
			sdk.RoleReciprocity, &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT},
			Report{Asked: 1, Same: 1},
			"", "",
		},
		"defers": {
			sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "at night"},
			Report{Asked: 1, Different: 1},
			"3 fragments on 3 peers: 3 fragments placed", "deferred: at night",
		},
		"places less": {
			sdk.RolePlacement, &sdk.PlaceResponse{Status: sdk.Status_OK, Assignments: []*sdk.Assignment{{Fragment: 0, Candidate: 0}}},
			Report{Asked: 1, Different: 1},
			"3 fragments on", "1 fragment on 1 peer",
		},
		"repairs nothing": {
			sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_OK},
			Report{Asked: 1, Different: 1},
			"2 tesseras to repair at once, 0 later: ", "0 tesseras to repair at once, 0 later",
		},
		"passes": {sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_PASS}, Report{Asked: 1, Passed: 1}, "", ""},
		"lies":   {sdk.RoleRepair, &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 9}}}, Report{Asked: 1, Failed: 1}, "", ""},
	} {
		r, err := Diff(t.Context(), l.Since(time.Time{}), says("new", tt.answer), policy.PartDecider, tt.role)
		if err != nil || r.Asked != tt.want.Asked || r.Same != tt.want.Same || r.Different != tt.want.Different || r.Passed != tt.want.Passed || r.Failed != tt.want.Failed {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		if (r.Failed > 0) != errors.Is(r.Failure, policy.ErrRule) {
			t.Errorf("%s: %v", name, r.Failure)
		}
		for _, d := range r.Differences {
			if !strings.HasPrefix(d.Before, tt.before) || !strings.HasPrefix(d.After, tt.after) || d.Moved == 0 || d.Decision != decisions[tt.role].ID {
				t.Errorf("%s: %+v", name, d)
			}
			if (d.Tessera == sdk.TesseraID{}) != (tt.role == sdk.RoleRepair) {
				t.Errorf("%s: about %s", name, d.Tessera.Short())
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Diff(ctx, l.Since(time.Time{}), standard(), policy.PartDecider, everyRole...); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestDiffOfAGuard(t *testing.T) {
	l, _ := busy(t)
	for name, tt := range map[string]struct {
		role   sdk.Role
		guard  policy.Policy
		differ int
		after  string
	}{
		"excludes who was used":    {sdk.RolePlacement, law("NL"), 1, "excludes 7 peers, on which are 3 fragments"},
		"excludes who was not":     {sdk.RolePlacement, law("XX"), 0, ""},
		"defers":                   {sdk.RolePlacement, says("g", &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "no"}), 1, "defers: no"},
		"refuses":                  {sdk.RoleReciprocity, says("g", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: "no"}), 1, "refuse: no"},
		"puts off":                 {sdk.RoleReciprocity, says("g", &sdk.AdmitResponse{Status: sdk.Status_DEFER, Reason: "no"}), 1, "later: no"},
		"grants less":              {sdk.RoleReciprocity, says("g", &sdk.AdmitResponse{Status: sdk.Status_OK, GrantBytes: mib}), 1, "grants only 1 MiB"},
		"grants enough":            {sdk.RoleReciprocity, says("g", &sdk.AdmitResponse{Status: sdk.Status_OK, GrantBytes: 4 * mib}), 0, ""},
		"raises":                   {sdk.RoleRepair, says("g", &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 1, Priority: 9000}}}), 1, "raises 1 tessera"},
		"raises what was as high":  {sdk.RoleRepair, says("g", &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 1, Priority: 1}}}), 0, ""},
		"is no guard, but decides": {sdk.RolePlacement, standard(), -1, ""},
	} {
		r, err := Diff(t.Context(), l.Since(time.Time{}), tt.guard, policy.PartGuard, tt.role)
		if err != nil || r.Asked != 1 || r.Different != max(tt.differ, 0) || (r.Failed > 0) != (tt.differ < 0) {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		if len(r.Differences) > 0 && r.Differences[0].After != tt.after {
			t.Errorf("%s: %+v", name, r.Differences)
		}
	}
}

func TestDiffSkips(t *testing.T) {
	all := func(yield func(policy.Decision, error) bool) {
		_ = yield(policy.Decision{}, ErrDamaged) &&
			yield(policy.Decision{Role: sdk.RoleRepair, Request: []byte{1}}, nil) && // nobody answered
			yield(policy.Decision{Role: sdk.RoleRepair, Question: []byte{1}, Request: []byte{1}, Response: []byte{1}}, nil) && // a guard did
			yield(policy.Decision{Role: sdk.RolePlacement}, nil) // another role
	}
	r, err := Diff(t.Context(), iter.Seq2[policy.Decision, error](all), standard(), policy.PartDecider, sdk.RoleRepair)
	if err != nil || r.Skipped != 3 || r.Asked != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, ok := questionFor(policy.Decision{Role: "cooking", Response: []byte{1}}, policy.PartGuard); ok {
		t.Error("a question of another role")
	}
}
