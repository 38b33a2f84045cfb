package policy

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// objection is a guard that holds a question up.
type objection struct {
	guard    *post
	response []byte // nil where the guard failed
	words    string
	wait     time.Duration
	refuses  bool // for good; a refusal outweighs every delay
}

// guardReader takes in what a guard says, as a reader does; one that wants to hold the question up is
// added to its objections.
type guardReader func(g *post, response []byte) (outcome Outcome, words string, err error)

// askGuards puts a question to all guards, also after one of them objected: so what they say does not
// hang on their order, and all of it can be explained. The error is that of a context that ended.
func (q *inquiry) askGuards(ctx context.Context, question []byte, read guardReader) error {
	q.d.Question = question
	for _, g := range q.line.guards {
		a, err := q.put(ctx, g.post, question, q.line.deadline, func(b []byte) (Outcome, string, error) { return read(g.post, b) })
		if err != nil {
			return err
		}
		q.lastStep().Response = a.response
		if a.outcome.isFailure() && g.closed {
			q.alarm(AlarmGuard, g.Name(), "a guard failed, and nothing is decided without it")
			q.objections = append(q.objections, objection{guard: g.post, words: "guard " + g.Name() + " failed, and nothing is decided without it", wait: noAnswerWait})
		}
	}
	return nil
}

// noAnswerWait is when to ask again where nobody answered.
const noAnswerWait = time.Minute

// stop ends a question that guards hold up, and records the decision as that of the first of them by
// name. It returns what they say together.
func (q *inquiry) stop() objection {
	slices.SortStableFunc(q.objections, func(a, b objection) int {
		return cmp.Or(cmp.Compare(boolInt(b.refuses), boolInt(a.refuses)), cmp.Compare(a.guard.Name(), b.guard.Name()))
	})
	first := q.objections[0]
	var words []string
	for _, h := range q.objections {
		if h.refuses != first.refuses {
			continue
		}
		first.wait = max(first.wait, h.wait)
		if !slices.Contains(words, h.words) {
			words = append(words, h.words)
		}
	}
	first.words = Clean(strings.Join(words, "; "))
	q.d.Source = Source{Policy: first.guard.Name(), Runtime: first.guard.Runtime()}
	q.d.Request, q.d.Response, q.d.Reason = q.d.Question, first.response, first.words
	q.d.Outcome = Deferred
	if first.refuses {
		q.d.Outcome = Answered
	}
	q.record()
	return first
}
