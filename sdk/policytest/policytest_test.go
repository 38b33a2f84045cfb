package policytest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/plugins/reciprocity"
	"github.com/tesseras/tesseras/plugins/repair"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// TestDefaults: the policies that every node starts with keep their promises.
func TestDefaults(t *testing.T) {
	for _, p := range []any{placement.Spread{}, reciprocity.FairShare{}, repair.ThinnestFirst{}} {
		policytest.Run(t, p, nil)
	}
}

// placer is a decider made of a function.
type placer struct {
	place func(*sdk.PlaceRequest) *sdk.PlaceResponse
	guard bool
}

func (p placer) Describe() *sdk.Description {
	return &sdk.Description{Name: "placer", Version: "1", Guard: p.guard, Decider: !p.guard}
}
func (p placer) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse { return p.place(q) }

// first puts everything on the first candidate of the list, which is wrong in several ways.
func first(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	a := &sdk.PlaceResponse{Status: sdk.Status_OK}
	for _, p := range q.Pieces {
		a.Assignments = append(a.Assignments, &sdk.Assignment{Fragment: p.Index})
	}
	return a
}

// draft is a decider that uses sdk.Draft and takes whoever comes.
func draft(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	d := sdk.NewDraft(q)
	for _, p := range q.Pieces {
		for i := range q.Candidates {
			d.Give(p, i, "it came")
		}
	}
	return d.Response("as they came")
}

// TestDraftKeepsTheRules: whoever uses sdk.Draft cannot break a rule. In this policy the order of the
// list decides, and that is found.
func TestDraftKeepsTheRules(t *testing.T) {
	s, err := policytest.Native(placer{place: draft}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range policytest.Properties(s, policytest.Options{Cases: 3000}) {
		if broken := r.Problem != ""; broken != (r.Property == policytest.PropertyOrder) {
			t.Errorf("%s: %s", r.Property, r.Problem)
		}
	}
}

// TestPropertiesBite: each property is broken by a policy made for it.
func TestPropertiesBite(t *testing.T) {
	calls := 0
	for name, tt := range map[string]struct {
		policy   any
		property string
	}{
		"places on the first":  {placer{place: first}, policytest.PropertyRules},
		"a guard that places":  {placer{place: draft, guard: true}, policytest.PropertyRules},
		"says nothing":         {placer{place: func(*sdk.PlaceRequest) *sdk.PlaceResponse { return nil }}, policytest.PropertyRules},
		"defers wordlessly":    {placer{place: func(*sdk.PlaceRequest) *sdk.PlaceResponse { return &sdk.PlaceResponse{Status: sdk.Status_DEFER} }}, policytest.PropertyRules},
		"panics":               {placer{place: func(q *sdk.PlaceRequest) *sdk.PlaceResponse { panic(q.Candidates) }}, policytest.PropertyRules},
		"counts":               {placer{place: func(*sdk.PlaceRequest) *sdk.PlaceResponse { calls++; return deferred(fmt.Sprint(calls)) }}, policytest.PropertySame},
		"hangs on the order":   {placer{place: draft}, policytest.PropertyOrder},
		"trips over nonsense":  {placer{place: trips}, policytest.PropertyMalformed},
		"is too slow to admit": {placer{place: gives}, policytest.PropertyLargest},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := policytest.Native(tt.policy, nil)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, r := range policytest.Properties(s, policytest.Options{}) {
				if r.Property == tt.property {
					found = r.Problem != ""
					if found && r.Property != policytest.PropertyLargest && r.Request == nil {
						t.Errorf("no request is kept: %+v", r)
					}
				}
			}
			if !found {
				t.Errorf("nobody noticed: %s", tt.property)
			}
		})
	}
}

func deferred(why string) *sdk.PlaceResponse {
	return &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: why}
}

// trips takes an id for granted.
func trips(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	return deferred(fmt.Sprint(q.Tessera[sdk.IDSize-1]))
}

// gives up on the largest question without saying INVALID.
func gives(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	if len(q.Candidates) > 900 {
		return &sdk.PlaceResponse{Status: sdk.Status_OK}
	}
	return deferred("later")
}

// unknowing refuses what it does not know.
type unknowing struct{ on bool }

func (u *unknowing) options() *sdk.Options {
	return new(sdk.Options).Bool("on", &u.on, false, "a switch")
}

func (u *unknowing) Describe() *sdk.Description {
	return &sdk.Description{Name: "unknowing", Version: "1", Decider: true, Config: u.options().Keys()}
}

func (u *unknowing) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	return u.options().Configure(r)
}

func (u *unknowing) Admit(*sdk.AdmitRequest) *sdk.AdmitResponse {
	return &sdk.AdmitResponse{Status: sdk.Status_PASS}
}

func TestNativeSettings(t *testing.T) {
	u := &unknowing{}
	if _, err := policytest.Native(u, map[string]string{"on": "true"}); err != nil || !u.on {
		t.Errorf("%v, %+v", err, u)
	}
	for _, settings := range []map[string]string{{"on": "perhaps"}, {"off": "true"}} {
		if _, err := policytest.Native(u, settings); !errors.Is(err, policytest.ErrSettings) {
			t.Errorf("%v: %v", settings, err)
		}
	}
	if _, err := policytest.Native(struct{}{}, nil); err == nil {
		t.Error("a policy that does not describe itself is taken")
	}
}

// told is a test that fails.
type told struct{ said []string }

func (t *told) Helper()                      {}
func (t *told) Logf(string, ...any)          {}
func (t *told) Errorf(f string, args ...any) { t.said = append(t.said, fmt.Sprintf(f, args...)) }
func (t *told) Fatalf(f string, args ...any) { t.Errorf(f, args...) }
func (t *told) contains(want string) (ok bool) {
	for _, s := range t.said {
		ok = ok || strings.Contains(s, want)
	}
	return ok
}

// TestRunTells: what Run finds is said with the property, the part and the role.
func TestRunTells(t *testing.T) {
	for _, tt := range []struct {
		policy   any
		settings map[string]string
		want     string
	}{
		{placer{place: first}, nil, "as decider for placement: "},
		{&unknowing{}, map[string]string{"on": "perhaps"}, "on: want true or false"},
		{struct{ sdk.Describer }{placer{}}, nil, "answers no question"},
	} {
		var said told
		policytest.Run(&said, tt.policy, tt.settings)
		if !said.contains(tt.want) {
			t.Errorf("%q, want %q", said.said, tt.want)
		}
	}
}
