//go:build !tesseras_nonative

package host_test

import (
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/sdk"
)

// TestTheLastResort: where the module that every node carries cannot be used, its own source decides,
// which is counted and alarmed.
func TestTheLastResort(t *testing.T) {
	t.Parallel()
	v := &village{t: t, ownPolicies: true}
	for range 7 {
		v.add()
	}
	owner := v.add()
	v.meet(owner, 7)
	if err := owner.BreakDefaults(); err != nil {
		t.Fatal(err)
	}
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	if owner.answered(sdk.RolePlacement, "default", "native") == 0 || owner.answered(sdk.RolePlacement, "default", wasm.Runtime) > 0 {
		t.Errorf("%+v", owner.Decisions())
	}
	l, err := owner.PolicyList(t.Context())
	if err != nil || !slices.ContainsFunc(l.Alarms, func(a localapi.PolicyAlarm) bool { return a.Alarm == string(policy.AlarmLastResort) }) {
		t.Errorf("%+v, %v", l, err)
	}
}
