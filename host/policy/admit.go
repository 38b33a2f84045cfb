package policy

import (
	"context"
	"errors"
	"math"
	"math/bits"
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

// Admit asks whether this node takes a fragment. A policy that defers says Later; so does the engine
// where nobody answers. The request is not changed. Errors: ErrRequest, ErrClosed, that of the context.
func (e *Engine) Admit(ctx context.Context, request *sdk.AdmitRequest) (*Admission, error) {
	if err := checkAdmit(request); err != nil {
		return nil, err
	}
	g, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer e.leave(g)
	q := e.inquire(g, sdk.RoleReciprocity, nil)
	asked := *request
	asked.Guarding, asked.GrantBytes = false, 0 // the guards' to say
	lowered, stopped, err := q.guardAdmit(ctx, &asked)
	if err != nil || stopped != nil {
		return stopped, err
	}
	raw, err := encode(lowered)
	if err != nil {
		return nil, err
	}
	var response *sdk.AdmitResponse
	err = q.decide(ctx, raw, func(b []byte) (outcome Outcome, words string, err error) {
		response, outcome, err = readAdmit(lowered, b)
		return outcome, response.GetReason(), err
	})
	if errors.Is(err, ErrNoAnswer) {
		return &Admission{Source: q.d.Source, Verdict: Later, Reason: ErrNoAnswer.Error(), RetryAfter: noAnswerWait}, nil
	}
	if err != nil {
		return nil, err
	}
	return admission(q.d, response), nil
}

func admission(d Decision, response *sdk.AdmitResponse) *Admission {
	out := &Admission{Source: d.Source, Reason: d.Reason, RetryAfter: wait(response.RetryAfterMs)}
	switch {
	case d.Outcome == Deferred || response.Verdict == sdk.AdmitResponse_LATER:
		out.Verdict = Later
	case response.Verdict == sdk.AdmitResponse_ACCEPT:
		out.Verdict, out.Custody = Accept, response.Custody
	}
	return out
}

// readAdmit decodes a decider's answer and checks it against the hard rules.
func readAdmit(asked *sdk.AdmitRequest, b []byte) (*sdk.AdmitResponse, Outcome, error) {
	response := &sdk.AdmitResponse{}
	if err := response.UnmarshalVT(b); err != nil {
		return nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	if err == nil && outcome == Answered {
		err = admissible(asked, response)
	}
	return response, outcome, err
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
		if !WithinGrant(r, a.Custody) {
			return broken(RuleGrant, "accepts a debt of %s, guards grant %s", sdk.SizeText(debt(r)), sdk.SizeText(r.GrantBytes))
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

// WithinGrant tells whether taking the fragment keeps to what the guards granted. That binds where an
// allowance does: institutions owe nothing, and the custody budget is not the owner's.
func WithinGrant(r *sdk.AdmitRequest, custody bool) bool {
	return r.GrantBytes == 0 || r.Institutional || custody || debt(r) <= r.GrantBytes
}

// debt is what the owner would owe us with the fragment; sizes come from strangers.
func debt(r *sdk.AdmitRequest) uint64 {
	stored, carry := bits.Add64(r.StoredForThem, r.SizeBytes, 0)
	if carry > 0 {
		stored = math.MaxUint64
	}
	return stored - min(stored, r.TheyStoreForUs)
}

// wait reads a policy's milliseconds.
func wait(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(longestWait/time.Millisecond))) * time.Millisecond
}
