package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	Out      Outcome = "out"      // not asked: taken out after repeated failures
)

// isFailure tells that the policy was of no use.
func (o Outcome) isFailure() bool { return o == Failed || o == Invalid || o == Out }

// Source tells who decided.
type Source struct {
	Policy   string
	Runtime  string
	Decision string // id of its record
}

// reader decodes a response and checks it against the hard rules. Its outcome is Answered, Passed or
// Deferred, words are the policy's; with an error the answer is Invalid.
type reader func(response []byte) (outcome Outcome, words string, err error)

// answer is what a policy said, as far as it was valid.
type answer struct {
	response []byte
	outcome  Outcome
	words    string
}

// inquiry is one question on its way through the chain of a role.
type inquiry struct {
	e          *Engine
	line       *line
	breaker    Breaker
	d          Decision
	objections []objection
}

// inquire begins a question. notes are what the host has to say about peers nobody is asked about.
func (e *Engine) inquire(g *generation, role sdk.Role, notes []Note) *inquiry {
	q := &inquiry{e: e, line: g.lines[role], breaker: g.breaker, d: Decision{Time: e.now(), Role: role, Notes: notes}}
	q.d.ID = e.decisionID(q.d)
	return q
}

// decide goes through the deciders until one answers or defers, and records the decision. The error
// is a *NoAnswerError, or that of a context that ended.
func (q *inquiry) decide(ctx context.Context, request []byte, read reader) error {
	q.d.Request = request
	failed := false
	for _, p := range q.line.deciders {
		settled, err := q.askDecider(ctx, p, q.line.deadline, read)
		if err != nil || settled {
			return err
		}
		failed = failed || q.lastStep().Outcome.isFailure()
	}
	if failed && q.line.resort != nil {
		q.alarm(AlarmLastResort, q.line.resort.Name(), "policies failed, asking the one linked into the host")
		if settled, err := q.askDecider(ctx, q.line.resort, 0, read); err != nil || settled {
			return err
		}
	}
	q.d.Outcome = Failed
	err := &NoAnswerError{q.d.Role, slices.DeleteFunc(slices.Clone(q.d.Steps), func(s Step) bool { return s.Part == PartGuard })}
	q.d.Reason = Clean(err.Error())
	q.record()
	q.alarm(AlarmNoAnswer, "", "no policy answered")
	return err
}

// askDecider asks one policy; settled means that the decision is made and recorded.
func (q *inquiry) askDecider(ctx context.Context, p *post, deadline time.Duration, read reader) (settled bool, err error) {
	a, err := q.put(ctx, p, q.d.Request, deadline, read)
	if err != nil || a.outcome != Answered && a.outcome != Deferred {
		return false, err
	}
	q.d.Source = Source{Policy: p.Name(), Runtime: p.Runtime()}
	q.d.Outcome, q.d.Response, q.d.Reason = a.outcome, a.response, a.words
	q.record()
	return true, nil
}

// put asks one policy and notes how it did. The error is that of a context that ended: nobody's
// failure.
func (q *inquiry) put(ctx context.Context, p *post, request []byte, deadline time.Duration, read reader) (answer, error) {
	start := q.e.now()
	step := Step{Policy: p.Name(), Runtime: p.Runtime(), Part: p.part, Digest: p.digest}
	leave, ok := p.admit(start)
	if !ok {
		step.Outcome, step.Error = Out, "taken out after repeated failures"
		q.note(step)
		return answer{outcome: Out}, nil
	}
	a, failure := consult(ctx, q.d.Role, p, request, deadline, read)
	if failure != nil && ctx.Err() != nil {
		p.abandon(leave)
		return answer{}, fmt.Errorf("ask %s policy: %w", q.d.Role, context.Cause(ctx))
	}
	now := q.e.now()
	step.Outcome, step.Took = a.outcome, now.Sub(start)
	if failure != nil {
		step.Error = Clean(failure.Error())
		q.e.log.Warn("policy failed", q.about(p, "err", failure)...)
	}
	q.note(step)
	switch taken, back := p.done(leave, step, now, q.breaker); {
	case taken:
		q.e.log.Error("policy taken out after repeated failures", q.about(p, "failures", q.breaker.Failures, "rest", q.breaker.Rest, "err", failure)...)
		q.e.metrics.Alarmed(q.d.Role, step.Policy, AlarmTakenOut)
	case back:
		q.e.log.Info("policy is back", q.about(p)...)
	}
	return a, nil
}

// about is what the log says of a policy.
func (q *inquiry) about(p *post, more ...any) []any {
	return append([]any{"role", q.d.Role, "policy", p.Name(), "runtime", p.Runtime(), "part", p.part, "decision", q.d.ID}, more...)
}

func (q *inquiry) note(step Step) {
	q.d.Steps = append(q.d.Steps, step)
	q.e.metrics.Asked(q.d.Role, step)
}

func (q *inquiry) lastStep() *Step { return &q.d.Steps[len(q.d.Steps)-1] }

// alarm counts what an operator should know of. The log says it loudly when something just went
// wrong, and not again for each question that a policy misses while it is taken out.
func (q *inquiry) alarm(a Alarm, policy, text string) {
	q.e.metrics.Alarmed(q.d.Role, policy, a)
	level := slog.LevelDebug
	if len(q.d.Steps) == 0 || slices.ContainsFunc(q.d.Steps, func(s Step) bool { return s.Error != "" && s.Outcome != Out }) {
		level = slog.LevelError
	}
	q.e.log.Log(context.Background(), level, text, "alarm", string(a), "role", q.d.Role, "policy", policy, "decision", q.d.ID)
}

// record keeps the decision as it stands.
func (q *inquiry) record() {
	q.d.RequestDigest = digest.Of(q.d.Request)
	q.d.Source.Decision = q.d.ID
	q.e.recorder.Record(q.d)
}

// consult puts the question, with a deadline if it is not zero, and reads the answer.
func consult(ctx context.Context, role sdk.Role, p Policy, request []byte, deadline time.Duration, read reader) (answer, error) {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no answer within %v", deadline))
		defer cancel()
	}
	response, err := p.Ask(ctx, role, request)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return answer{outcome: Failed}, context.Cause(ctx)
	case err != nil:
		return answer{outcome: Failed}, err
	case len(response) > sdk.MaxResponse:
		return answer{outcome: Invalid}, fmt.Errorf("response of %d bytes, at most %d are read", len(response), sdk.MaxResponse)
	}
	outcome, words, err := read(response)
	if err != nil {
		return answer{outcome: Invalid}, err
	}
	return answer{response, outcome, Clean(words)}, nil
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
		return "", fmt.Errorf("it does not understand the question: %s", Clean(reason))
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

// Clean makes a policy's words safe for terminals and logs, and keeps them short.
func Clean(text string) string {
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
