package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Code is what a failure means; it is the exit code of the command line. Codes are only added.
type Code int

// What failures mean.
const (
	CodeOK            Code = 0
	CodeFailed        Code = 1
	CodeUsage         Code = 2  // asked in a way that makes no sense; nothing was begun
	CodePartly        Code = 3  // partly done
	CodeNotFound      Code = 10 // no such tessera or data directory
	CodeInUse         Code = 11 // another process has the data directory
	CodeBelowTarget   Code = 13 // below the durability asked for
	CodeCannotRestore Code = 14 // cannot be restored now
	CodeNoDaemon      Code = 15 // needs a running node
	CodeInterrupted   Code = 130
)

// ErrNoDaemon tells that no node runs on the data directory.
var ErrNoDaemon = errors.New("no node is running")

// Error is a failure that says what it means and what can be done about it.
type Error struct {
	Code Code
	Hint string // what the person can do; may be ""
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fail says what err means. The outermost code and the outermost hint of a chain count.
func Fail(code Code, hint string, err error) error {
	return &Error{Code: code, Hint: hint, Err: err}
}

// CodeOf is what an error means: CodeOK for nil, CodeFailed where nobody said more.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, ErrNoDaemon):
		return CodeNoDaemon
	case errors.Is(err, context.Canceled):
		return CodeInterrupted
	}
	return CodeFailed
}

// HintOf is what can be done about an error: the first hint down its chain, else what the system's
// error suggests, else "".
func HintOf(err error) string {
	for e := err; e != nil; {
		var own *Error
		if !errors.As(e, &own) {
			break
		}
		if own.Hint != "" {
			return own.Hint
		}
		e = own.Err
	}
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space on this disk, then try again"
	case errors.Is(err, fs.ErrPermission):
		return "check who owns what is named here, and run as a user who may do that"
	case errors.Is(err, syscall.EROFS):
		return "this disk can only be read: choose another place"
	case errors.Is(err, ErrNoDaemon):
		return hintStart
	}
	return ""
}

const hintStart = "start tesd"

// errorBody is an error as JSON, in HTTP answers as on the command line.
type errorBody struct {
	Error string `json:"error"`
	Code  Code   `json:"code"`
	Hint  string `json:"hint"`
}

// ErrorJSON is an error as scripts read it: {"error","code","hint"}.
func ErrorJSON(err error) []byte { return errorJSON(err, oneLine(err)) }

func errorJSON(err error, text string) []byte {
	b, _ := json.Marshal(errorBody{text, CodeOf(err), HintOf(err)}) // texts and a number never fail
	return b
}

// ErrorText is an error as people read it: one line "program: what: why", and one "hint: what to do".
func ErrorText(program string, err error) string {
	text := fmt.Sprintf("%s: %s\n", program, Name(oneLine(err)).Printable())
	if hint := HintOf(err); hint != "" {
		text += fmt.Sprintf("hint: %s\n", Name(hint).Printable())
	}
	return text
}

// oneLine puts errors that were joined on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func parseErrorJSON(b []byte) (error, bool) {
	var body errorBody
	if json.Unmarshal(b, &body) != nil || body.Error == "" {
		return nil, false
	}
	return Fail(body.Code, body.Hint, errors.New(body.Error)), true
}
