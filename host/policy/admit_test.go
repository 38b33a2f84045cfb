package policy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

func TestLyingAdmissions(t *testing.T) {
	accept := &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT}
	tests := []struct {
		name   string
		answer *sdk.AdmitResponse
		set    func(*sdk.AdmitRequest)
		rule   Rule
	}{
		{"into the space that stays free", accept, func(r *sdk.AdmitRequest) { r.FreeBytes = 1<<30 + 10*mib - 1 }, RuleFreeSpace},
		{"beyond the disk", accept, func(r *sdk.AdmitRequest) { r.SizeBytes = 1 << 50 }, RuleFreeSpace},
		{
			"on the custody budget, for a publish",
			&sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT, Custody: true},
			func(r *sdk.AdmitRequest) { r.SenderProved = true }, RuleCustody,
		},
		{
			"on the custody budget, without proof",
			&sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT, Custody: true},
			func(r *sdk.AdmitRequest) { r.Purpose = sdk.Purpose_CUSTODY }, RuleCustody,
		},
		{"a refusal without a word", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE}, nil, RuleNoReason},
		{"no verdict", &sdk.AdmitResponse{Status: sdk.Status_OK, Reason: "hm"}, nil, RuleEmpty},
		{"another verdict", &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: 9, Reason: "hm"}, nil, RuleEmpty},
	}
	for _, tt := range tests {
		r := admitRequest()
		if tt.set != nil {
			tt.set(r)
		}
		e, counters, ring := engine(t, Config{}, says("liar", tt.answer))
		a, err := e.Admit(t.Context(), r)
		if err != nil || a.Policy != "default" || counted(counters, "liar", "test", Invalid) != 1 {
			t.Errorf("%s: %+v, %v", tt.name, a, err)
			continue
		}
		if d, _ := ring.Get(a.Decision); !strings.Contains(d.Steps[0].Error, string(tt.rule)) {
			t.Errorf("%s: said %q", tt.name, d.Steps[0].Error)
		}
		if tt.rule == RuleFreeSpace && a.Verdict != Refuse {
			t.Errorf("%s: %v", tt.name, a.Verdict)
		}
	}
}

func TestLaterAndDefer(t *testing.T) {
	for _, answer := range []*sdk.AdmitResponse{
		{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_LATER, Reason: "at night", RetryAfterMs: 5000},
		{Status: sdk.Status_DEFER, Reason: "at night", RetryAfterMs: 5000},
	} {
		e, _, _ := engine(t, Config{}, says("owl", answer))
		a, err := e.Admit(t.Context(), admitRequest())
		if err != nil || a.Verdict != Later || a.RetryAfter != 5*time.Second || a.Reason != "at night" || a.Policy != "owl" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	e, _, _ := engine(t, Config{}, says("never", &sdk.AdmitResponse{Status: sdk.Status_DEFER, Reason: "never", RetryAfterMs: 1<<64 - 1}))
	if a, err := e.Admit(t.Context(), admitRequest()); err != nil || a.RetryAfter != longestWait {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestCustodyIsPassedOn(t *testing.T) {
	e, _, _ := engine(t, Config{})
	r := admitRequest()
	r.StoredForThem, r.Purpose, r.SenderProved, r.CustodyBudget, r.PeersKnown = 1<<30, sdk.Purpose_CUSTODY, true, 1<<40, 12
	if a, err := e.Admit(t.Context(), r); err != nil || a.Verdict != Accept || !a.Custody {
		t.Errorf("%+v, %v", a, err)
	}
	r.SenderProved = false
	if a, err := e.Admit(t.Context(), r); err != nil || a.Verdict != Refuse || a.Custody || !strings.Contains(a.Reason, "would owe us 1.1 GiB") {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestMalformedAdmitRequests(t *testing.T) {
	e, _, _ := engine(t, Config{})
	for name, spoil := range map[string]func(*sdk.AdmitRequest){
		"tessera": func(r *sdk.AdmitRequest) { r.Tessera = nil },
		"sender":  func(r *sdk.AdmitRequest) { r.Sender = r.Sender[1:] },
		"owner":   func(r *sdk.AdmitRequest) { r.Owner = nil },
	} {
		r := admitRequest()
		spoil(r)
		if _, err := e.Admit(t.Context(), r); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Admit(t.Context(), nil); !errors.Is(err, ErrRequest) {
		t.Errorf("nil: %v", err)
	}
	for verdict, want := range map[Verdict]string{Accept: "accept", Refuse: "refuse", Later: "later"} {
		if verdict.String() != want {
			t.Errorf("%v", verdict)
		}
	}
}
