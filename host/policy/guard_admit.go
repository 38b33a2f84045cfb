package policy

import (
	"context"

	"github.com/tesseras/tesseras/sdk"
)

// guardAdmit asks the guards and lowers the allowance to the least they grant. stopped is their own
// decision, nil where they let the question pass. The error is that of a context that ended.
func (q *inquiry) guardAdmit(ctx context.Context, asked *sdk.AdmitRequest) (lowered *sdk.AdmitRequest, stopped *Admission, err error) {
	if len(q.line.guards) == 0 {
		return asked, nil, nil
	}
	question, narrowed := *asked, *asked
	question.Guarding = true
	raw, err := encode(&question)
	if err != nil {
		return nil, nil, err
	}
	if err := q.askGuards(ctx, raw, func(g *post, b []byte) (Outcome, string, error) {
		response, outcome, err := readAdmitGuard(b)
		if err != nil || outcome == Passed {
			return outcome, "", err
		}
		if grant := response.GrantBytes; grant != 0 && (narrowed.GrantBytes == 0 || grant < narrowed.GrantBytes) {
			narrowed.GrantBytes = grant
			narrowed.DeficitAllowance = min(asked.DeficitAllowance, grant)
		}
		refuses := outcome == Answered && response.Verdict == sdk.AdmitResponse_REFUSE
		if refuses || outcome == Deferred || response.Verdict == sdk.AdmitResponse_LATER {
			q.objections = append(q.objections, objection{g, b, Clean(response.Reason), wait(response.RetryAfterMs), refuses})
		}
		return outcome, response.Reason, nil
	}); err != nil {
		return nil, nil, err
	}
	if len(q.objections) == 0 {
		return &narrowed, nil, nil
	}
	held := q.stop()
	stopped = &Admission{Source: q.d.Source, Verdict: Later, Reason: held.words, RetryAfter: held.wait}
	if held.refuses {
		stopped.Verdict = Refuse
	}
	return nil, stopped, nil
}

// readAdmitGuard decodes a guard's answer and checks that it only narrows. Accepting, or no verdict,
// is no objection.
func readAdmitGuard(b []byte) (*sdk.AdmitResponse, Outcome, error) {
	response := &sdk.AdmitResponse{}
	if err := response.UnmarshalVT(b); err != nil {
		return nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	if err != nil || outcome != Answered {
		return response, outcome, err
	}
	switch response.Verdict {
	case sdk.AdmitResponse_VERDICT_UNSPECIFIED, sdk.AdmitResponse_ACCEPT:
		if response.Custody {
			return nil, "", broken(RuleGuard, "it gives away the custody budget")
		}
		return response, outcome, nil
	case sdk.AdmitResponse_REFUSE, sdk.AdmitResponse_LATER:
		if response.Reason == "" {
			return nil, "", broken(RuleNoReason, "it does not accept")
		}
		return response, outcome, nil
	}
	return nil, "", broken(RuleEmpty, "verdict %d", int32(response.Verdict))
}
