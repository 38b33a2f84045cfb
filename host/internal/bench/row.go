package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// row is one line of the table.
type row struct {
	Step     string     `json:"step"`
	Bytes    int64      `json:"bytes,omitempty"`
	Seconds  float64    `json:"seconds,omitempty"`
	Bound    float64    `json:"bound_seconds,omitempty"`
	Parts    []partTime `json:"parts,omitempty"`          // of the bound
	Ratio    float64    `json:"ratio,omitempty"`          // Bound / Seconds
	CPU      float64    `json:"cpu_seconds,omitempty"`    // of all our processes
	Others   float64    `json:"others_seconds,omitempty"` // processor time of all else meanwhile
	CPURatio float64    `json:"cpu_ratio,omitempty"`
	Value    float64    `json:"value,omitempty"` // where the goal is not about the ratio
	Unit     string     `json:"unit,omitempty"`  // of Value
	Goal     string     `json:"goal,omitempty"`
	OK       *bool      `json:"ok,omitempty"` // nil without a goal
	Note     string     `json:"note,omitempty"`
}

// partTime is what a raw part took.
type partTime struct {
	Name    string  `json:"name"`
	Form    string  `json:"form"` // the fastest of those tried
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Others  float64 `json:"others_seconds"`
}

// atLeast sets a goal for the ratio.
func (r row) atLeast(goal float64) row {
	r.Goal = fmt.Sprintf("%.2f", goal)
	return r.judged(r.Ratio >= goal)
}

// within sets a goal for how many times as long as its bound a step may take.
func (r row) within(times float64) row {
	r.Goal = fmt.Sprintf("%.2fx", times)
	return r.judged(r.Seconds <= times*r.Bound)
}

// below sets a goal for the time itself.
func (r row) below(goal time.Duration) row {
	r.Goal = "<= " + seconds(goal.Seconds())
	return r.judged(r.Seconds <= goal.Seconds())
}

func (r row) judged(ok bool) row {
	r.OK = &ok
	return r
}

func (r row) noted(format string, args ...any) row {
	r.Note = fmt.Sprintf(format, args...)
	return r
}

// report collects rows and prints each as it comes.
type report struct {
	out   io.Writer
	quick bool // too small to judge
	rows  []row
}

const layout = "%-28s %8s %9s %7s %9s %7s %6s %6s  %-13s %-6s %s\n"

func newReport(out io.Writer, quick bool) *report { return &report{out: out, quick: quick} }

func (r *report) add(row row) {
	if len(r.rows) == 0 {
		fmt.Fprintf(r.out, layout, "STEP", "BYTES", "TIME", "GB/s", "BOUND", "GB/s", "RATIO", "CPU", "GOAL", "", "")
	}
	if r.quick {
		row.OK = nil
	}
	r.rows = append(r.rows, row)
	note := row.Note
	if busy := 100 * row.Others / row.Seconds / float64(runtime.NumCPU()); busy >= 10 {
		note = strings.TrimPrefix(fmt.Sprintf("%s; others had %.0f %% of the processors", note, busy), "; ")
	}
	if row.Unit != "" {
		note = strings.TrimSuffix(fmt.Sprintf("%.0f %s, %s", row.Value, row.Unit, note), ", ")
	}
	line := fmt.Sprintf(layout, row.Step, size(row.Bytes), seconds(row.Seconds), speed(row.Bytes, row.Seconds),
		seconds(row.Bound), speed(row.Bytes, row.Bound), ratio(row.Ratio), ratio(row.CPURatio), row.Goal, verdict(row.OK), note)
	fmt.Fprintln(r.out, strings.TrimRight(line, " \n"))
}

// parts prints what the bounds are made of.
func (r *report) parts() {
	fmt.Fprintf(r.out, "\nThe parts of the bounds; OTHERS is processor time that was not ours meanwhile:\n\n")
	fmt.Fprintf(r.out, partLayout, "", "BYTES", "TIME", "GB/s", "CPU", "OTHERS", "BEST FORM")
	for _, row := range r.rows {
		if len(row.Parts) == 0 {
			continue
		}
		r.part(row.Step, row.Bytes, row.Seconds, row.CPU, row.Others, "")
		for _, p := range row.Parts {
			r.part("  "+p.Name, p.Bytes, p.Seconds, p.CPU, p.Others, p.Form)
		}
	}
}

const partLayout = "%-30s %8s %9s %7s %9s %9s  %s\n"

func (r *report) part(name string, bytes int64, wall, cpu, others float64, form string) {
	line := fmt.Sprintf(partLayout, name, size(bytes), seconds(wall), speed(bytes, wall), seconds(cpu), seconds(others), form)
	fmt.Fprintln(r.out, strings.TrimRight(line, " \n"))
}

func (r *report) writeJSON(file string) error {
	text, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "cpus": runtime.NumCPU(),
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "rows": r.rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func size(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < mib:
		return fmt.Sprintf("%.0f KiB", float64(n)/kib)
	case n < 10*mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/mib)
}

func seconds(s float64) string {
	switch {
	case s == 0:
		return ""
	case s < 1e-3:
		return fmt.Sprintf("%.0f us", s*1e6)
	case s < 0.1:
		return fmt.Sprintf("%.2f ms", s*1e3)
	}
	return fmt.Sprintf("%.3f s", s)
}

func speed(n int64, s float64) string {
	if n == 0 || s == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(n)/1e9/s)
}

func ratio(r float64) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}

func verdict(ok *bool) string {
	switch {
	case ok == nil:
		return ""
	case *ok:
		return "ok"
	}
	return "BELOW"
}
