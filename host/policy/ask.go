package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// Outcome is how one policy answered.
type Outcome string

// The outcomes of asking a policy.
const (
	Answered Outcome = "answered"
	Passed   Outcome = "passed"   // no opinion
	Deferred Outcome = "deferred" // wants to be asked later
	Failed   Outcome = "failed"   // no answer, or none by the deadline
	Invalid  Outcome = "invalid"  // an answer that breaks the contract or a hard rule
)

// Step is one policy that was asked on the way to a decision.
type Step struct {
	Policy  string
	Runtime string
	Outcome Outcome
	Error   string // for Failed and Invalid
	Took    time.Duration
}

// Source tells who decided.
type Source struct {
	Policy   string
	Runtime  string
	Decision string // id of its record
}

// reader decodes a response and checks it against the hard rules. Its outcome is Answered, Passed or
// Deferred; with an error the answer is Invalid.
type reader func(response []byte) (Outcome, error)

// ask goes through the deciders of a role until one answers or defers. The error is a *NoAnswerError,
// or that of a context that ended.
func (e *Engine) ask(ctx context.Context, role sdk.Role, request []byte, read reader) (Source, Outcome, error) {
	d := Decision{Time: e.now(), Role: role, RequestDigest: digest.Of(request), Request: request}
	d.ID = e.decisionID(d)
	failed := false
	for _, p := range e.deciders[role] {
		settled, err := e.askOne(ctx, &d, p, e.deadline[role], read)
		if err != nil || settled {
			return d.Source, d.outcome(), err
		}
		failed = failed || d.outcome() == Failed || d.outcome() == Invalid
	}
	if failed && e.fallback != nil {
		e.log.Warn("policies failed, asking the one linked into the host", "role", role, "decision", d.ID)
		if settled, err := e.askOne(ctx, &d, e.fallback, 0, read); err != nil || settled {
			return d.Source, d.outcome(), err
		}
	}
	e.recorder.Record(d)
	err := &NoAnswerError{role, d.Steps}
	e.log.Error("no policy answered", "role", role, "decision", d.ID, "err", err)
	return Source{Decision: d.ID}, Failed, err
}

// askOne asks one policy; settled means that the decision is made and recorded. The error is that of
// a context that ended: nobody's failure.
func (e *Engine) askOne(ctx context.Context, d *Decision, p Policy, deadline time.Duration, read reader) (settled bool, err error) {
	start := e.now()
	response, outcome, failure := consult(ctx, d.Role, p, d.Request, deadline, read)
	if ctx.Err() != nil && failure != nil {
		return false, fmt.Errorf("ask %s policy: %w", d.Role, context.Cause(ctx))
	}
	step := Step{Policy: p.Name(), Runtime: p.Runtime(), Outcome: outcome, Took: e.now().Sub(start)}
	if failure != nil {
		step.Error = clean(failure.Error())
		e.log.Warn("policy failed", "role", d.Role, "policy", step.Policy, "runtime", step.Runtime, "decision", d.ID, "err", failure)
	}
	d.Steps = append(d.Steps, step)
	e.metrics.Asked(d.Role, step)
	if outcome != Answered && outcome != Deferred {
		return false, nil
	}
	d.Source = Source{p.Name(), p.Runtime(), d.ID}
	d.Response = response
	e.recorder.Record(*d)
	return true, nil
}

// consult puts the question, with a deadline if it is not zero, and reads the answer.
func consult(ctx context.Context, role sdk.Role, p Policy, request []byte, deadline time.Duration, read reader) ([]byte, Outcome, error) {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no answer within %v", deadline))
		defer cancel()
	}
	response, err := p.Ask(ctx, role, request)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return nil, Failed, context.Cause(ctx)
	case err != nil:
		return nil, Failed, err
	case len(response) > sdk.MaxResponse:
		return nil, Invalid, fmt.Errorf("response of %d bytes, at most %d are read", len(response), sdk.MaxResponse)
	}
	outcome, err := read(response)
	if err != nil {
		return nil, Invalid, err
	}
	return response, outcome, nil
}

// outcomeOf reads the status that opens every response.
func outcomeOf(status sdk.Status, reason string) (Outcome, error) {
	switch status {
	case sdk.Status_OK:
		return Answered, nil
	case sdk.Status_PASS:
		return Passed, nil
	case sdk.Status_DEFER:
		if reason == "" {
			return "", broken(RuleNoReason, "it defers")
		}
		return Deferred, nil
	case sdk.Status_INVALID:
		return "", fmt.Errorf("it does not understand the question: %s", clean(reason))
	}
	return "", broken(RuleEmpty, "status %d", int32(status))
}

// encode is the size check every question passes.
func encode(m interface{ MarshalVT() ([]byte, error) }) ([]byte, error) {
	b, err := m.MarshalVT()
	if err != nil {
		return nil, malformed("%v", err)
	}
	if len(b) > sdk.MaxRequest {
		return nil, malformed("%d bytes, at most %d are asked", len(b), sdk.MaxRequest)
	}
	return b, nil
}

// longestReason is how many bytes of a policy's words are kept.
const longestReason = 300

// clean makes a policy's words safe for terminals and logs, and keeps them short.
func clean(text string) string {
	if len(text) > longestReason {
		cut := longestReason
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
