package policy

import (
	"context"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// Verdict is what becomes of a fragment that is offered.
type Verdict int

// The verdicts.
const (
	Refuse Verdict = iota
	Accept
	Later // ask again after RetryAfter
)

func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Later:
		return "later"
	}
	return "refuse"
}

// Admission is a decision about one fragment.
type Admission struct {
	Source
	Verdict    Verdict
	Reason     string // a sentence for the sender
	RetryAfter time.Duration
	Custody    bool // charged to the custody budget, not to the owner's allowance
}

// longestWait is the longest a policy may put anything off.
const longestWait = 365 * 24 * time.Hour

// Admit asks whether this node takes a fragment. A policy that defers says Later. Errors: ErrRequest,
// ErrNoAnswer.
func (e *Engine) Admit(ctx context.Context, request *sdk.AdmitRequest) (*Admission, error) {
	if err := checkAdmit(request); err != nil {
		return nil, err
	}
	raw, err := encode(request)
	if err != nil {
		return nil, err
	}
	var response *sdk.AdmitResponse
	source, outcome, err := e.ask(ctx, sdk.RoleReciprocity, raw, func(b []byte) (Outcome, error) {
		response = &sdk.AdmitResponse{}
		if err := response.UnmarshalVT(b); err != nil {
			return "", err
		}
		outcome, err := outcomeOf(response.Status, response.Reason)
		if err != nil || outcome != Answered {
			return outcome, err
		}
		return outcome, admissible(request, response)
	})
	if err != nil {
		return nil, err
	}
	out := &Admission{Source: source, Reason: clean(response.Reason), RetryAfter: wait(response.RetryAfterMs)}
	switch {
	case outcome == Deferred || response.Verdict == sdk.AdmitResponse_LATER:
		out.Verdict = Later
	case response.Verdict == sdk.AdmitResponse_ACCEPT:
		out.Verdict, out.Custody = Accept, response.Custody
	}
	return out, nil
}

func checkAdmit(r *sdk.AdmitRequest) error {
	switch {
	case len(r.GetTessera()) != sdk.IDSize:
		return malformed("admit: the tessera's id is not %d bytes", sdk.IDSize)
	case len(r.GetSender()) != sdk.IDSize:
		return malformed("admit: the sender's id is not %d bytes", sdk.IDSize)
	case len(r.GetOwner()) != sdk.IDSize:
		return malformed("admit: the owner's key is not %d bytes", sdk.IDSize)
	}
	return nil
}

// admissible checks an answer against the hard rules.
func admissible(r *sdk.AdmitRequest, a *sdk.AdmitResponse) error {
	switch a.Verdict {
	case sdk.AdmitResponse_ACCEPT:
		if r.SizeBytes > r.FreeBytes || r.FreeBytes-r.SizeBytes < r.MinFreeBytes {
			return broken(RuleFreeSpace, "accepts %s with %s free, of which %s stay free",
				sdk.SizeText(r.SizeBytes), sdk.SizeText(r.FreeBytes), sdk.SizeText(r.MinFreeBytes))
		}
		if a.Custody && (r.Purpose != sdk.Purpose_CUSTODY || !r.SenderProved) {
			return broken(RuleCustody, "only a repairer that proved a fragment may use it")
		}
		return nil
	case sdk.AdmitResponse_REFUSE, sdk.AdmitResponse_LATER:
		if a.Reason == "" {
			return broken(RuleNoReason, "it does not accept")
		}
		return nil
	}
	return broken(RuleEmpty, "verdict %d", int32(a.Verdict))
}

// wait reads a policy's milliseconds.
func wait(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(longestWait/time.Millisecond))) * time.Millisecond
}
