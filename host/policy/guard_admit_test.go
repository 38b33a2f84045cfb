package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// TestGrantsBindEveryDecider: an allowance that a guard lowered is handed to the decider, and held
// against its answer.
func TestGrantsBindEveryDecider(t *testing.T) {
	grant := func(name string, bytes uint64) Policy {
		return says(name, &sdk.AdmitResponse{Status: sdk.Status_OK, GrantBytes: bytes})
	}
	generous := says("generous", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT})
	e, counters, ring := engine(t, Config{Reciprocity: Chain{Guards: guards(grant("a", 30*mib), grant("b", 20*mib), grant("c", 0))}}, generous)
	r := admitRequest()
	r.GrantBytes, r.Guarding = 1, true // not a caller's to say
	if a, err := e.Admit(t.Context(), r); err != nil || a.Verdict != Accept || a.Policy != "generous" || r.GrantBytes != 1 {
		t.Fatalf("10 of 20 MiB: %+v, %v", a, err)
	}
	r.StoredForThem = 15 * mib
	a, err := e.Admit(t.Context(), r)
	if err != nil || a.Verdict != Refuse || a.Policy != "default" || !strings.Contains(a.Reason, "the allowance is 20 MiB") {
		t.Errorf("25 of 20 MiB: %+v, %v", a, err)
	}
	if d, _ := ring.Get(a.Decision); !strings.Contains(d.Steps[3].Error, "accepts a debt of 25 MiB, guards grant 20 MiB") || counted(counters, "generous", "test", Invalid) != 1 {
		t.Errorf("%+v", d.Steps)
	}
	r.Institutional = true // owes nothing
	if a, err := e.Admit(t.Context(), r); err != nil || a.Verdict != Accept {
		t.Errorf("an institution: %+v, %v", a, err)
	}
	r.Institutional, r.StoredForThem, r.TheyStoreForUs = false, math.MaxUint64, math.MaxUint64 // no overflow
	if a, err := e.Admit(t.Context(), r); err != nil || a.Policy != "generous" {
		t.Errorf("%+v, %v", a, err)
	}
}
