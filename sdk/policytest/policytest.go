// Package policytest answers: does this policy keep the promises that every policy makes?
//
// An author's own tests are ordinary Go: make a request with Place, Admit or Repair, hand it to the
// policy, look at the answer. Run then asks the policy thousands of random questions and holds its
// answers against what the host demands of every policy. No WASM is needed for either; tes policy test
// asks the same questions of a module or a program.
package policytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// Asker asks a policy, whatever runs it: bytes in, bytes out, as sdk/ABI.md says. An error means that
// the policy failed; a refusal is an answer.
type Asker func(role sdk.Role, request []byte) (response []byte, err error)

// Check holds an answer against the contract and the host's hard rules; Rules is one.
type Check func(role sdk.Role, guard bool, request, response []byte) error

// Subject is a policy under test.
type Subject struct {
	Description *sdk.Description
	Ask         Asker
	// Again is the same policy with the same settings in another instance; nil to go without.
	Again Asker
	Check Check // nil is Rules
}

// ErrSettings tells that a policy does not take its settings.
var ErrSettings = errors.New("the policy refuses its settings")

// Native is a policy linked into the test, with settings as the operator would write them: one text for
// each key, the values of a list joined by commas.
func Native(policy any, settings map[string]string) (Subject, error) {
	describer, ok := policy.(sdk.Describer)
	if !ok {
		return Subject{}, fmt.Errorf("%T does not describe itself: it lacks sdk.Describer", policy)
	}
	d := describer.Describe()
	_, d.Places = policy.(sdk.Placement)
	_, d.Admits = policy.(sdk.Reciprocity)
	_, d.Repairs = policy.(sdk.Repair)
	if configurer, ok := policy.(sdk.Configurer); ok {
		if r := configurer.Configure(Settings(d, settings)); r.GetStatus() != sdk.Status_OK {
			return Subject{}, fmt.Errorf("%w: %s: %s", ErrSettings, r.GetKey(), r.GetReason())
		}
	}
	ask := func(role sdk.Role, request []byte) (_ []byte, err error) {
		defer func() {
			if fault := recover(); fault != nil {
				err = fmt.Errorf("panic: %v", fault)
			}
		}()
		return sdk.Answer(role, policy, request)
	}
	return Subject{Description: d, Ask: ask}, nil
}

// Settings is a ConfigureRequest as the host makes one: sorted by key, what is left out by its default.
func Settings(d *sdk.Description, given map[string]string) *sdk.ConfigureRequest {
	r := &sdk.ConfigureRequest{}
	keys := slices.Clone(d.GetConfig())
	slices.SortFunc(keys, func(a, b *sdk.ConfigKey) int { return strings.Compare(a.GetKey(), b.GetKey()) })
	for _, k := range keys {
		text, ok := given[k.GetKey()]
		switch {
		case !ok: // the policy knows its default
		case k.GetList():
			r.Settings = append(r.Settings, &sdk.Setting{Key: k.GetKey(), Values: strings.Split(text, ",")})
		default:
			r.Settings = append(r.Settings, &sdk.Setting{Key: k.GetKey(), Values: []string{text}})
		}
	}
	for key, text := range given {
		if !slices.ContainsFunc(keys, func(k *sdk.ConfigKey) bool { return k.GetKey() == key }) {
			r.Settings = append(r.Settings, &sdk.Setting{Key: key, Values: []string{text}}) // for the policy to refuse
		}
	}
	return r
}

// T is what Run needs of a *testing.T.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Run holds a policy to every property, with some settings. It is all that an author's test has to call.
func Run(t T, policy any, settings map[string]string) {
	t.Helper()
	s, err := Native(policy, settings)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	executed := 0
	for _, r := range Properties(s, Options{}) {
		executed += r.Cases
		if r.Problem != "" {
			t.Errorf("%s, as %s for %s: %s", r.Property, part(r.Guard), r.Role, r.Problem)
		}
	}
	t.Logf("%d questions asked of %s", executed, s.Description.GetName())
	if executed == 0 {
		t.Errorf("%s answers no question: a policy is guard or decider, and plays a role", s.Description.GetName())
	}
}

func part(guard bool) string {
	if guard {
		return "guard"
	}
	return "decider"
}

// encodable is every message of the schema.
type encodable interface{ MarshalVT() ([]byte, error) }
