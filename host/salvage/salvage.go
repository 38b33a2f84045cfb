// Package salvage answers: what can still be had from these copied folders?
//
// The folders are data directories of nodes, or what is left of them: whole or in part, from any number
// of nodes, of today's layout or the old one. There is no index, no key and no network. Every file is
// read and hashed, and known by what it holds, not by its name: a document by its first line, everything
// else by its hash. So it does not matter where a piece lies or what it was renamed to, and a damaged
// piece is simply none.
//
// A tessera comes back from its manifest and files, from its plan and enough fragments, or, where
// neither suffices, in part: those of its files that are whole. Nothing is written that is not, byte by
// byte, what the documents say; only what came from the old layout without a document is copied as it
// lies there, and said to be so.
package salvage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// ErrNoFolder tells that one of the folders to read is not there.
var ErrNoFolder = errors.New("no such folder")

// Options say what to do with what is found.
type Options struct {
	// To is the folder that gets one folder for each tessera, named by its id. Empty writes nothing and
	// only tells what could be saved.
	To string
	// Progress is told how many bytes have been read so far; nil is nobody.
	Progress func(read int64)
	Logger   *slog.Logger // nil is none
}

// How a tessera came back.
const (
	FromObjects   = "objects"    // its manifest and all its files
	FromFragments = "fragments"  // its plan and enough fragments
	FromOldLayout = "old layout" // files of the old layout that no document describes
)

// Report says what was found and what came of it.
type Report struct {
	Saved     []Saved     `json:"saved"`
	Partly    []Saved     `json:"partly"`    // with what is missing
	Lost      []Lost      `json:"lost"`      // known, but nothing could be saved
	Deleted   []Lost      `json:"deleted"`   // their owners deleted them
	Unplanned []Unplanned `json:"unplanned"` // fragments of the old layout that no plan describes
	Damaged   []Damaged   `json:"damaged"`   // files that cannot be read or are not what they are called
	Files     int         `json:"files"`     // read
	Bytes     int64       `json:"bytes"`     // read
}

// Saved is a tessera that came back.
type Saved struct {
	ID      sdk.TesseraID `json:"id"`
	Title   string        `json:"title"`
	Dir     string        `json:"dir,omitempty"` // where it was written
	From    string        `json:"from"`
	Files   int           `json:"files"`
	Bytes   int64         `json:"size_bytes"`
	Already bool          `json:"already,omitempty"` // an earlier run wrote it; it was not looked at
	Missing []Missing     `json:"missing,omitempty"`
}

// Missing is a file of a tessera that could not be saved.
type Missing struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// Lost is a tessera of which nothing was saved.
type Lost struct {
	ID    sdk.TesseraID `json:"id"`
	Title string        `json:"title"`
	Why   string        `json:"why"`
}

// Unplanned is a fragment nobody can use until its plan is found.
type Unplanned struct {
	Tessera sdk.TesseraID `json:"tessera"`
	Index   int           `json:"index"`
	Path    string        `json:"path"`
}

// Damaged is a file that is worth nothing.
type Damaged struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// Complete tells that everything that is known of was saved.
func (r *Report) Complete() bool { return len(r.Partly) == 0 && len(r.Lost) == 0 }

// Run reads the folders and saves what it can. The error is for what keeps it from going on; what could
// not be saved is in the report.
func Run(ctx context.Context, folders []string, o Options) (*Report, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &salvager{Options: o, heap: newHeap(), report: &Report{
		Saved: []Saved{}, Partly: []Saved{}, Lost: []Lost{}, Deleted: []Lost{}, Unplanned: []Unplanned{}, Damaged: []Damaged{},
	}}
	if err := s.run(ctx, folders); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	return s.report, nil
}

// salvager is one run.
type salvager struct {
	Options
	heap   *heap
	report *Report
}

func (s *salvager) run(ctx context.Context, folders []string) error {
	for _, f := range folders {
		info, err := os.Stat(f)
		if err != nil || !info.IsDir() {
			return fmt.Errorf("%w: %s", ErrNoFolder, f)
		}
	}
	if s.To != "" {
		if err := s.apart(folders); err != nil {
			return err
		}
	}
	if err := s.sift(ctx, folders); err != nil {
		return err
	}
	for _, id := range s.heap.tesseras() {
		if err := s.rescue(ctx, id); err != nil {
			return err
		}
	}
	s.reportUnplanned()
	return nil
}

// apart refuses to write into what is read.
func (s *salvager) apart(folders []string) error {
	if err := os.MkdirAll(s.To, 0o777); err != nil {
		return err
	}
	to, err := filepath.EvalSymlinks(s.To)
	if err != nil {
		return err
	}
	for _, f := range folders {
		from, err := filepath.EvalSymlinks(f)
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("%s lies in %s, which is read", s.To, f)
		}
	}
	return nil
}

// reportUnplanned ends the report: it lists the fragments of the old layout whose tessera has no plan.
func (s *salvager) reportUnplanned() {
	for _, u := range s.heap.shards {
		if len(s.heap.known[u.Tessera].plans) == 0 {
			s.report.Unplanned = append(s.report.Unplanned, u)
		}
	}
	slices.SortFunc(s.report.Unplanned, func(a, b Unplanned) int {
		return cmp.Or(bytes.Compare(a.Tessera[:], b.Tessera[:]), a.Index-b.Index, strings.Compare(a.Path, b.Path))
	})
	slices.SortFunc(s.report.Damaged, func(a, b Damaged) int { return strings.Compare(a.Path, b.Path) })
}
