package guest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// placer places and has a setting; it refuses "never".
type placer struct {
	name string
	got  *[]string
}

func (p placer) Describe() *sdk.Description {
	return &sdk.Description{Name: p.name, Version: "1", Repairs: true, Decider: true, Guard: true, Config: []*sdk.ConfigKey{{Key: p.name + ".when", Kind: "text"}}}
}

func (p placer) Place(*sdk.PlaceRequest) *sdk.PlaceResponse {
	return &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: p.name}
}

func (p placer) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	for _, s := range r.Settings {
		*p.got = append(*p.got, s.Key)
		if s.Values[0] == "never" {
			return &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: s.Key, Reason: "no"}
		}
	}
	return &sdk.ConfigureResponse{Status: sdk.Status_OK}
}

// admitter admits, and says little about itself.
type admitter struct{}

func (admitter) Describe() *sdk.Description {
	return &sdk.Description{Name: "admitter", Version: "2", Decider: true}
}

func (admitter) Admit(*sdk.AdmitRequest) *sdk.AdmitResponse {
	return &sdk.AdmitResponse{Status: sdk.Status_PASS}
}

func TestDescribe(t *testing.T) {
	b, err := New(placer{"a", nil}, admitter{}).Describe()
	if err != nil {
		t.Fatal(err)
	}
	var d sdk.Description
	if err := d.UnmarshalVT(b); err != nil {
		t.Fatal(err)
	}
	// Roles are those that are played, whatever a policy says.
	if d.Name != "a+admitter" || d.Version != "1+2" || !d.Places || !d.Admits || d.Repairs || d.Guard || !d.Decider || len(d.Config) != 1 {
		t.Errorf("%v", &d)
	}
	if d := New(struct{}{}).description(); d.Name != "" || d.Places {
		t.Errorf("%v", d)
	}
}

func TestConfigure(t *testing.T) {
	var a, b []string
	g := New(placer{"a", &a}, admitter{}, placer{"b", &b})
	configure := func(value string) *sdk.ConfigureResponse {
		request, err := (&sdk.ConfigureRequest{Settings: []*sdk.Setting{
			{Key: "a.when", Values: []string{"now"}}, {Key: "b.when", Values: []string{value}}, {Key: "c", Values: []string{"x"}},
		}}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		response, err := g.Configure(request)
		if err != nil {
			t.Fatal(err)
		}
		var r sdk.ConfigureResponse
		if err := r.UnmarshalVT(response); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	if r := configure("now"); r.Status != sdk.Status_OK || len(a) != 1 || len(b) != 1 {
		t.Errorf("%v, %v, %v", r, a, b)
	}
	if r := configure("never"); r.Status != sdk.Status_INVALID || r.Key != "b.when" {
		t.Errorf("%v", r)
	}
	if response, err := g.Configure([]byte{0xff}); err != nil || !bytes.HasPrefix(response, []byte{8, byte(sdk.Status_INVALID)}) {
		t.Errorf("%x, %v", response, err)
	}
}

func TestAsk(t *testing.T) {
	Register(admitter{}, placer{"first", nil}, placer{"second", nil})
	defer Register()
	g := Registered()
	b, err := g.Ask(sdk.RolePlacement, nil)
	if err != nil || !bytes.Contains(b, []byte("first")) {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := g.Ask(sdk.RoleReciprocity, nil); err != nil || !bytes.Equal(b, []byte{8, byte(sdk.Status_PASS)}) {
		t.Errorf("%x, %v", b, err)
	}
	for _, role := range []sdk.Role{sdk.RoleRepair, "cooking"} {
		if _, err := g.Ask(role, nil); !errors.Is(err, sdk.ErrRole) {
			t.Errorf("%s: %v", role, err)
		}
	}
}
