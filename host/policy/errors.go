package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

var (
	// ErrRequest tells that a question breaks the contract; no policy was asked.
	ErrRequest = errors.New("malformed question to a policy")
	// ErrNoAnswer tells that no policy gave a valid answer. Errors of this kind are *NoAnswerError.
	ErrNoAnswer = errors.New("no policy answered")
	// ErrDeferred tells that the policy wants to be asked again later. Errors of this kind are *DeferredError.
	ErrDeferred = errors.New("deferred by policy")
	// ErrRule tells that an answer, or a step taken on it, breaks a hard rule. Errors of this kind are *RuleError.
	ErrRule = errors.New("hard rule")
)

// NoAnswerError tells what each policy said instead of an answer.
type NoAnswerError struct {
	Role  sdk.Role
	Steps []Step
}

func (e *NoAnswerError) Error() string {
	if len(e.Steps) == 0 {
		return fmt.Sprintf("%s: %v: none is configured", e.Role, ErrNoAnswer)
	}
	said := make([]string, len(e.Steps))
	for i, s := range e.Steps {
		said[i] = fmt.Sprintf("%s (%s) %s", s.Policy, s.Runtime, s.Outcome)
		if s.Error != "" {
			said[i] += ": " + s.Error
		}
	}
	return fmt.Sprintf("%s: %v: %s", e.Role, ErrNoAnswer, strings.Join(said, "; "))
}

// Unwrap makes it an ErrNoAnswer.
func (e *NoAnswerError) Unwrap() error { return ErrNoAnswer }

// DeferredError is a policy's decision to wait, or the host's where no policy answers.
type DeferredError struct {
	Source
	Reason string
	Notes  []Note
	cause  error // why nobody answered, nil where somebody did
}

func (e *DeferredError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v %s: %s", ErrDeferred, e.Policy, e.Reason)
}

// Unwrap makes it an ErrDeferred, and what kept everybody from answering.
func (e *DeferredError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrDeferred}
	}
	return []error{ErrDeferred, e.cause}
}

// Rule names a hard rule.
type Rule string

// The hard rules.
const (
	RuleUnknownPeer      Rule = "unknown peer"
	RuleUnknownFragment  Rule = "unknown fragment"
	RuleUnknownTessera   Rule = "unknown tessera"
	RuleDuplicate        Rule = "duplicate"
	RuleFull             Rule = "full peer"
	RuleSubnetCap        Rule = "subnet cap"
	RuleInstitutionalCap Rule = "institutional cap"
	RuleFreeSpace        Rule = "free space"
	RuleCustody          Rule = "custody budget"
	RuleNoReason         Rule = "no reason given"
	RuleEmpty            Rule = "empty answer"
	RuleGrant            Rule = "guards' grant"
	RuleGuard            Rule = "a guard only narrows"
)

// RuleError is a broken rule, and what broke it.
type RuleError struct {
	Rule   Rule
	Detail string
}

func (e *RuleError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrRule, e.Rule, e.Detail) }

// Unwrap makes it an ErrRule.
func (e *RuleError) Unwrap() error { return ErrRule }

func broken(rule Rule, format string, args ...any) error {
	return &RuleError{rule, fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRequest, fmt.Sprintf(format, args...))
}
