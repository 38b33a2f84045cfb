package vet

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// LogBudget is how many bytes a policy may log for each question, where nothing else is said.
const LogBudget = 64 << 10

const (
	longestReason = 300
	longestLine   = 1 << 10
	lineCost      = 64 // what a line costs beside its bytes, so that empty ones are not free
)

// Log passes a policy's lines on to the node's log, up to a number of bytes for each question. It is
// safe for concurrent use.
type Log struct {
	to     *slog.Logger
	budget int

	mu   sync.Mutex // guards below
	left int
	cut  int // bytes thrown away since the question began
}

// NewLog logs to a logger that names the policy already.
func NewLog(to *slog.Logger, budget int) *Log { return &Log{to: to, budget: budget, left: budget} }

// Next begins a question: the budget is whole again. What the last one lost is told in one line.
func (l *Log) Next() {
	l.mu.Lock()
	cut := l.cut
	l.left, l.cut = l.budget, 0
	l.mu.Unlock()
	if cut > 0 {
		l.to.Warn("the policy's log was cut", "bytes", cut)
	}
}

// Cut is how many bytes were thrown away since the question began.
func (l *Log) Cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// Enabled tells whether a line would be kept.
func (l *Log) Enabled(level slog.Level) bool {
	return l.to.Enabled(context.Background(), level) && l.Cut() == 0
}

// Line logs a line, if the budget allows for it. Only the beginning of a long one is kept.
func (l *Log) Line(level slog.Level, text []byte) {
	if !l.take(len(text) + lineCost) {
		return
	}
	l.to.Log(context.Background(), level, Clean(string(text[:min(len(text), longestLine)]), longestLine))
}

func (l *Log) take(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.left {
		l.left = 0 // a short line after a long one that was cut would stand in the wrong place
		l.cut += n
		return false
	}
	l.left -= n
	return true
}

// Writer logs what is written to it, line by line. A line that opens with "[DEBUG] ", "[INFO] ",
// "[WARN] " or "[ERROR] " has that level, any other the given one.
func (l *Log) Writer(level slog.Level) *LineWriter { return &LineWriter{log: l, level: level} }

// LineWriter is an io.Writer into a Log. It is safe for concurrent use and never fails.
type LineWriter struct {
	log   *Log
	level slog.Level

	mu   sync.Mutex // guards line
	line []byte     // begun, at most longestLine of it
}

// Write implements io.Writer.
func (w *LineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.begin(p)
			return n, nil
		}
		w.begin(p[:end])
		w.endLocked()
		p = p[end+1:]
	}
}

// begin adds to the line as much as is kept of one; the rest is only counted.
func (w *LineWriter) begin(p []byte) {
	keep := min(len(p), longestLine-len(w.line))
	w.line = append(w.line, p[:keep]...)
	w.log.take(len(p) - keep)
}

func (w *LineWriter) endLocked() {
	level, text := w.level, w.line
	for _, p := range prefixes {
		if rest, ok := bytes.CutPrefix(text, []byte(p.text)); ok {
			level, text = p.level, rest
			break
		}
	}
	if len(text) > 0 {
		w.log.Line(level, text)
	}
	w.line = w.line[:0]
}

var prefixes = []struct {
	text  string
	level slog.Level
}{
	{"[DEBUG] ", slog.LevelDebug}, {"[INFO] ", slog.LevelInfo}, {"[WARN] ", slog.LevelWarn}, {"[ERROR] ", slog.LevelError},
}

// Clean makes a policy's words safe for terminals and logs, and at most so many bytes long.
func Clean(text string, most int) string {
	if len(text) > most {
		cut := most
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
