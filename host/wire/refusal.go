package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Refusal is a no with a reason, ours or a peer's. The code is its meaning, the text a hint for
// people. It travels as an Error message; errors.As finds it.
type Refusal struct {
	Code       Code
	Text       string
	RetryAfter time.Duration // when to ask again; 0 = no advice
}

// Refuse makes a refusal.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Later gives the refusal with advice on when to ask again.
func (r *Refusal) Later(d time.Duration) *Refusal {
	c := *r
	c.RetryAfter = d
	return &c
}

func (r *Refusal) Error() string {
	s := "refused: " + strings.ToLower(strings.ReplaceAll(r.Code.String(), "_", " "))
	if r.Text != "" {
		s += ": " + r.Text
	}
	return s
}

// Message is the refusal as it travels.
func (r *Refusal) Message() *Error {
	code := r.Code
	if code == Code_OK {
		code = Code_INTERNAL
	}
	return &Error{Code: code, Text: plain(r.Text), RetryAfterMs: uint64(max(r.RetryAfter, 0).Milliseconds())}
}

// Refusal is the error a peer's Error message stands for. A code of a newer version is kept as its
// number; a code of 0, which nobody may send, becomes MALFORMED.
func (e *Error) Refusal() *Refusal {
	code := e.Code
	if code == Code_OK {
		code = Code_MALFORMED
	}
	const most = 24 * time.Hour
	after := time.Duration(min(e.RetryAfterMs, uint64(most.Milliseconds()))) * time.Millisecond
	return &Refusal{Code: code, Text: plain(e.Text), RetryAfter: after}
}

// CodeOf is the code of the refusal in err's chain, Code_OK when there is none.
func CodeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return Code_OK
}

// RefusalFor is what to tell the peer about err: the refusal in its chain, what is wrong with the
// peer's frame, and of everything else only that the fault is ours.
func RefusalFor(err error) *Refusal {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, ErrUnknownKind):
		return Refuse(Code_UNSUPPORTED, "unknown kind of message")
	case errors.Is(err, ErrTooLarge):
		return Refuse(Code_TOO_LARGE, "message above the ceiling of its kind")
	case errors.Is(err, ErrMalformed):
		return Refuse(Code_MALFORMED, "malformed message")
	}
	return Refuse(Code_INTERNAL, "")
}

// plain makes a stranger's text fit to be printed: valid UTF-8, one line, no control characters, at
// most MaxErrorText bytes.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), MaxErrorText)], "?"))
	for len(s) > MaxErrorText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
