// Package guest answers: how does a policy written in Go meet the host that runs it?
//
// An author registers policies; the build decides what becomes of them. Built for wasip1 with
// -buildmode=c-shared the module exports what sdk/ABI.md lists, built for any other system
// sdk/process serves the same policies as a program:
//
//	func init() { guest.Register(myPlacement{}) }
//
//	func main() { process.Main() }
//
// The policies have to be registered in init: main never runs in a WASM module.
package guest

import (
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// Guest is one or several policies behind one door of bytes, as both runtimes want them.
type Guest struct{ policies []any }

// New joins policies, each of which implements one or more of sdk.Placement, sdk.Reciprocity and
// sdk.Repair, and sdk.Describer. Where two play the same role, the first is asked.
func New(policies ...any) *Guest { return &Guest{policies} }

// registered is what the exports of a module, which are functions without a receiver, speak for. It
// is written while the program initialises and only read afterwards.
var registered = New()

// Register sets the policies that this module or program carries.
func Register(policies ...any) { registered = New(policies...) }

// Registered is what Register was given last.
func Registered() *Guest { return registered }

// Describe encodes what the policies say of themselves, as one: their names joined by a plus, every
// role that one of them plays, guard or decider where all of them are.
func (g *Guest) Describe() ([]byte, error) { return g.description().MarshalVT() }

func (g *Guest) description() *sdk.Description {
	all := &sdk.Description{Guard: true, Decider: true}
	for i, policy := range g.policies {
		d := describe(policy)
		all.Places = all.Places || d.Places
		all.Admits = all.Admits || d.Admits
		all.Repairs = all.Repairs || d.Repairs
		all.Guard = all.Guard && d.Guard
		all.Decider = all.Decider && d.Decider
		all.Config = append(all.Config, d.Config...)
		if i == 0 {
			all.Name, all.Version = d.Name, d.Version
			continue
		}
		all.Name += "+" + d.Name
		if d.Version != all.Version {
			all.Version += "+" + d.Version
		}
	}
	return all
}

// describe is what one policy says of itself. Its roles are those it really plays.
func describe(policy any) *sdk.Description {
	d := &sdk.Description{}
	if describer, ok := policy.(sdk.Describer); ok {
		d = describer.Describe()
	}
	_, d.Places = policy.(sdk.Placement)
	_, d.Admits = policy.(sdk.Reciprocity)
	_, d.Repairs = policy.(sdk.Repair)
	return d
}

// Configure hands each policy the settings it described and encodes the first refusal, or OK.
func (g *Guest) Configure(request []byte) ([]byte, error) {
	var all sdk.ConfigureRequest
	if err := all.UnmarshalVT(request); err != nil {
		wrong := &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Reason: "no ConfigureRequest: " + err.Error()}
		return wrong.MarshalVT()
	}
	for _, policy := range g.policies {
		configurer, ok := policy.(sdk.Configurer)
		if !ok {
			continue
		}
		response := configurer.Configure(settingsOf(policy, all.Settings))
		if response.GetStatus() != sdk.Status_OK {
			return response.MarshalVT()
		}
	}
	return (&sdk.ConfigureResponse{Status: sdk.Status_OK}).MarshalVT()
}

// settingsOf keeps the settings that a policy described.
func settingsOf(policy any, all []*sdk.Setting) *sdk.ConfigureRequest {
	mine := &sdk.ConfigureRequest{}
	keys := describe(policy).Config
	for _, setting := range all {
		if slices.ContainsFunc(keys, func(k *sdk.ConfigKey) bool { return k.GetKey() == setting.GetKey() }) {
			mine.Settings = append(mine.Settings, setting)
		}
	}
	return mine
}

// Ask puts an encoded question to the first policy of a role and returns its encoded answer. The
// error is sdk.ErrRole where nobody plays the role.
func (g *Guest) Ask(role sdk.Role, request []byte) ([]byte, error) {
	for _, policy := range g.policies {
		if plays(policy, role) {
			return sdk.Answer(role, policy, request)
		}
	}
	return nil, sdk.ErrRole
}

func plays(policy any, role sdk.Role) (ok bool) {
	switch role {
	case sdk.RolePlacement:
		_, ok = policy.(sdk.Placement)
	case sdk.RoleReciprocity:
		_, ok = policy.(sdk.Reciprocity)
	case sdk.RoleRepair:
		_, ok = policy.(sdk.Repair)
	}
	return ok
}
