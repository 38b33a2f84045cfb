package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/tesseras/tesseras/host/localapi"
)

// shortID is how many digits of an id a table shows; enough to type it.
const shortID = 12

// printJSON prints one object on one line.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// print prints a result for people, or as JSON where that was asked for.
func (a *app) print(v any, human func(w io.Writer)) error {
	if a.json {
		return a.printJSON(v)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	human(t)
	return t.Flush()
}

// note tells a person something beside the result.
func (a *app) note(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// row prints the cells of a table.
func row(w io.Writer, cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }

func short(id fmt.Stringer) string { return id.String()[:shortID] }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func signedSize(n int64) string {
	if n < 0 {
		return "-" + size(-n)
	}
	return size(n)
}

func count(n int, thing string) string { return english.Plural(n, thing, "") }

// day is a date for a table.
func day(m localapi.Moment) string {
	if m.IsZero() {
		return "-"
	}
	return m.Local().Format("2006-01-02 15:04")
}

// ago says how long ago something was, in words.
func ago(m localapi.Moment) string {
	if m.IsZero() {
		return "never"
	}
	return humanize.RelTime(m.Time, time.Now(), "ago", "from now")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// list is never null in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func printable(n localapi.Name) string { return n.Printable() }

// title is a title for a table; one without is said to be so.
func title(n localapi.Name) string {
	if n == "" {
		return "(no title)"
	}
	return printable(n)
}
