package decisions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tesseras/tesseras/host/policy"
)

// ErrNothingSaid tells that a decision has no answer to compare with: nobody gave one.
var ErrNothingSaid = errors.New("no answer is recorded")

// askTime bounds one question of a replay; it is longer than the deadlines of a node at work.
const askTime = 10 * time.Second

// Replayed is a recorded question, asked once more.
type Replayed struct {
	Asked          policy.Step // whose answer was recorded
	Same           bool        // byte for byte
	Recorded, Got  []byte
	DigestRecorded string // of the policy that answered then, "" where there is none
	Digest         string // of the policy that was asked now
}

// Replay asks a policy the question that was put to the one of its name, or where there was none to
// the one that decided, and compares the bytes. Errors: ErrNothingSaid, or that of asking.
func Replay(ctx context.Context, d policy.Decision, p policy.Policy) (*Replayed, error) {
	s, question, answer := answeredBy(d, p.Name())
	if answer == nil {
		return nil, fmt.Errorf("replay decision %s: %w", d.ID, ErrNothingSaid)
	}
	got, err := ask(ctx, d, p, question)
	if err != nil {
		return nil, fmt.Errorf("replay decision %s: %w", d.ID, err)
	}
	r := &Replayed{Asked: s, Same: bytes.Equal(got, answer), Recorded: answer, Got: got, DigestRecorded: s.Digest}
	if known, ok := p.(policy.Digester); ok {
		r.Digest = known.Digest()
	}
	return r, nil
}

// answeredBy finds a question and its answer.
func answeredBy(d policy.Decision, name string) (s policy.Step, question, answer []byte) {
	for _, s := range d.Steps {
		if s.Part == policy.PartGuard && s.Policy == name && s.Response != nil {
			return s, d.Question, s.Response
		}
	}
	for _, s := range d.Steps {
		if s.Policy == d.Policy && s.Runtime == d.Runtime && s.Outcome == d.Outcome {
			return s, d.Request, d.Response
		}
	}
	return s, d.Request, d.Response
}

func ask(ctx context.Context, d policy.Decision, p policy.Policy, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("no answer within %v", askTime))
	defer cancel()
	return p.Ask(ctx, d.Role, question)
}
