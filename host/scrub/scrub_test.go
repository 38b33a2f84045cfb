package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// room is a store with an index in memory, and a clock in the test's hand.
type room struct {
	*Service
	t    *testing.T
	root string
	disk *disk
	now  time.Time
	papers
}

// papers are documents as they were found.
type papers struct {
	found    []Document
	restored []Document
}

func (p *papers) All(context.Context) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, d := range p.found {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (p *papers) Restored(_ context.Context, d Document) error {
	p.restored = append(p.restored, d)
	return nil
}

// disk can fail to open a file, and tells which it opened.
type disk struct {
	vfs.FS
	fail   map[string]error
	opened []string
	before func(name string) // opening
}

func (d *disk) Open(name string) (vfs.File, error) {
	if d.before != nil {
		d.before(name)
	}
	if err := d.fail[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	d.opened = append(d.opened, name)
	return d.FS.Open(name)
}

func newRoom(t *testing.T, c Config) *room {
	t.Helper()
	r := &room{t: t, root: t.TempDir(), now: time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)}
	dir, err := vfs.OpenDir(r.root)
	must(t, err)
	r.disk = &disk{FS: dir, fail: map[string]error{}}
	objects, err := cas.New(r.disk, cas.Config{})
	must(t, err)
	books, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(books.Close(), dir.Close())) })
	r.Service, err = New(Deps{
		Objects: objects, Catalog: books, Documents: &r.papers, Quarantine: "quarantine", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return r.now },
	}, c)
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again is the same room in a new process.
func (r *room) again() {
	r.t.Helper()
	var err error
	r.Service, err = New(r.Deps, r.config)
	must(r.t, err)
}

// keep stores n objects of a tessera, and gives their hashes.
func (r *room) keep(n, size int) (hashes []digest.Hash) {
	r.t.Helper()
	for i := range n {
		content := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), size/8)
		o, err := r.Objects.Stage(r.t.Context(), bytes.NewReader(content), nil)
		must(r.t, err)
		must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error {
			return tx.AddBlobRef(catalog.BlobRef{Tessera: sdk.TesseraID{1}, Memory: o.Hash, Name: fmt.Sprint(i), Hash: o.Hash, Size: o.Size})
		}))
		r.Objects.Unpin(o.Hash)
		hashes = append(hashes, o.Hash)
	}
	r.disk.opened = nil
	return hashes
}

func (r *room) path(h digest.Hash) string { return filepath.Join(r.root, cas.Path(h)) }

func (r *room) damages() (list []catalog.Damage) {
	r.t.Helper()
	must(r.t, r.Catalog.View(func(tx *catalog.Tx) error {
		for d, err := range tx.Damages() {
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	}))
	return list
}

// days is a pass in so many days, one round a day.
func days(n int) Config {
	return Config{Period: time.Duration(n) * 24 * time.Hour, Interval: 24 * time.Hour, Rate: 1 << 40}
}

// TestAPassTakesItsPeriodAndSurvivesRestarts has a round a day, each in a new process: every object is
// read once in the period, about as many each day.
func TestAPassTakesItsPeriodAndSurvivesRestarts(t *testing.T) {
	r := newRoom(t, days(10))
	hashes := r.keep(40, 800)
	read := map[string]int{}
	for day := range 20 {
		r.again()
		r.disk.opened = nil
		must(t, r.Step(t.Context()))
		if n := len(r.disk.opened); n < 3 || n > 5 {
			t.Errorf("on day %d %d objects were read", day, n)
		}
		for _, name := range r.disk.opened {
			read[name]++
		}
		r.now = r.now.Add(24 * time.Hour)
	}
	for _, h := range hashes {
		if n := read[cas.Path(h)]; n != 2 {
			t.Errorf("an object was read %d times in two periods", n)
		}
	}
}

func TestAMissedRoundIsMadeUpFor(t *testing.T) {
	r := newRoom(t, days(10))
	r.keep(40, 800)
	must(t, r.Step(t.Context()))
	r.now = r.now.Add(5 * 24 * time.Hour)
	r.disk.opened = nil
	must(t, r.Step(t.Context()))
	if n := len(r.disk.opened); n < 19 || n > 21 {
		t.Errorf("after five days without a round %d objects were read", n)
	}
	r.now = r.now.Add(-3 * 24 * time.Hour) // the clock goes back: nothing is due, nothing breaks
	r.disk.opened = nil
	must(t, r.Step(t.Context()))
	if n := len(r.disk.opened); n != 0 {
		t.Errorf("%d objects were read", n)
	}
}

func TestAHurriedShareIsMadeUpForLater(t *testing.T) {
	r := newRoom(t, days(1))
	r.keep(10, 800)
	r.Hurry = func() bool { return len(r.disk.opened) >= 3 }
	must(t, r.Step(t.Context()))
	if n := len(r.disk.opened); n != 3 {
		t.Errorf("%d objects were read in a hurry", n)
	}
	r.Hurry = nil
	r.again()
	must(t, r.Step(t.Context()))
	if n := len(r.disk.opened); n != 10 {
		t.Errorf("%d objects were read in all", n)
	}
}

func TestWhatARunLeavesIsReadInRounds(t *testing.T) {
	r := newRoom(t, days(1))
	r.keep(10, 800)
	ctx, cancel := context.WithCancel(t.Context())
	r.disk.before = func(string) {
		if len(r.disk.opened) == 4 {
			cancel()
		}
	}
	if _, err := r.Run(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.disk.before, r.disk.opened = nil, nil
	r.again()
	must(t, r.Step(t.Context()))
	st, err := r.Status()
	must(t, err)
	if n := len(r.disk.opened); n < 5 || n > 6 || st.Objects != 10 || st.Active {
		t.Errorf("%d objects were left, %+v", n, st)
	}
}

func TestWhatIsWrongIsFoundAndPutAside(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(r *room, h digest.Hash) error
		lost bool
	}{
		"a flipped byte": {harm: func(r *room, h digest.Hash) error {
			return os.WriteFile(r.path(h), bytes.Repeat([]byte("00000001"), 100), 0o600)
		}},
		"truncated":  {harm: func(r *room, h digest.Hash) error { return os.Truncate(r.path(h), 10) }},
		"empty":      {harm: func(r *room, h digest.Hash) error { return os.Truncate(r.path(h), 0) }},
		"longer":     {harm: func(r *room, h digest.Hash) error { return os.Truncate(r.path(h), 1000) }},
		"unreadable": {harm: func(r *room, h digest.Hash) error { r.disk.fail[cas.Path(h)] = syscall.EIO; return nil }},
		"gone":       {harm: func(r *room, h digest.Hash) error { return os.Remove(r.path(h)) }, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, days(1))
			hashes := r.keep(1, 800)
			others := len(r.keep(5, 160))
			must(t, c.harm(r, hashes[0]))
			got, err := r.Run(t.Context(), nil)
			if err != nil || got.Corrupt != 1 || got.Objects != others+1 {
				t.Errorf("%+v, %v", got, err)
			}
			if d := r.damages(); len(d) != 1 || d[0] != (catalog.Damage{Hash: hashes[0], Found: r.now, Lost: c.lost}) {
				t.Errorf("written down: %+v", d)
			}
			aside, _ := filepath.Glob(filepath.Join(r.root, "quarantine", "2031-05-06", "*"))
			if _, err := os.Stat(r.path(hashes[0])); err == nil || (len(aside) == 1) == c.lost {
				t.Errorf("the file: %v, put aside: %v", err, aside)
			}
			if got := r.Stats(); got.Corrupt != 1 || got.Objects != int64(others+1) {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

// TestWhatOnlyWentWrongTodayIsNoDamage has files that cannot be opened for a passing reason, a file that
// is replaced while it is read, one that somebody is staging, and no disk at all.
func TestWhatOnlyWentWrongTodayIsNoDamage(t *testing.T) {
	r := newRoom(t, days(1))
	hashes := r.keep(3, 800)
	for _, err := range []error{syscall.EMFILE, syscall.EACCES, syscall.ENOMEM} {
		r.disk.fail[cas.Path(hashes[0])] = err
		got, err := r.Run(t.Context(), nil)
		if err != nil || got.Corrupt != 0 || len(r.damages()) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	clear(r.disk.fail)

	whole, err := os.ReadFile(r.path(hashes[1]))
	must(t, err)
	must(t, os.WriteFile(r.path(hashes[1]), bytes.Repeat([]byte("x"), len(whole)), 0o600))
	reads := 0
	r.disk.before = func(name string) {
		if reads++; name == cas.Path(hashes[1]) && reads > 1 { // made good between the reading and the verdict
			must(t, os.WriteFile(r.path(hashes[1]), whole, 0o600))
			must(t, os.Chtimes(r.path(hashes[1]), time.Now(), time.Now().Add(time.Second)))
		}
	}
	got, err := r.Check(t.Context(), hashes[1])
	if err != nil || got.Corrupt != 0 || len(r.damages()) != 0 {
		t.Errorf("replaced meanwhile: %+v, %v", got, err)
	}
	r.disk.before = nil

	must(t, os.Rename(filepath.Join(r.root, "objects"), filepath.Join(r.root, "unmounted")))
	if _, err := r.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not there at all") {
		t.Errorf("without a disk: %v", err)
	}
	if err := r.Missing(hashes); err == nil {
		t.Error("objects are missing on a disk that is not there")
	}
	if len(r.damages()) != 0 {
		t.Error("a disk that is gone was taken for damage")
	}
}

func TestMissingIsWrittenDownOnce(t *testing.T) {
	r := newRoom(t, days(1))
	hashes := r.keep(2, 800)
	must(t, os.Remove(r.path(hashes[0])))
	must(t, r.Missing(append(hashes, digest.Of([]byte("needed by nobody")))))
	first := r.damages()
	r.now = r.now.Add(time.Hour)
	must(t, r.Missing(hashes))
	if d := r.damages(); len(d) != 1 || d[0].Hash != hashes[0] || !d[0].Lost || d[0] != first[0] {
		t.Errorf("%+v", d)
	}
	content := bytes.Repeat([]byte("00000000"), 100)
	o, err := r.Objects.Stage(t.Context(), bytes.NewReader(content), nil)
	must(t, err)
	r.Objects.Unpin(o.Hash)
	got, err := r.Run(t.Context(), nil)
	if err != nil || got.Healed != 1 || len(r.damages()) != 0 {
		t.Errorf("%+v, %v, %v", got, err, r.damages())
	}
}

func TestPacedReadingRests(t *testing.T) {
	r := newRoom(t, Config{Period: time.Hour, Interval: time.Minute})
	p := r.pace(t.Context(), true)
	p.last = time.Now().Add(-20 * time.Millisecond) // a read took so long
	begun := time.Now()
	if _, err := p.Write(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if rested := time.Since(begun); rested < 60*time.Millisecond {
		t.Errorf("after 20 ms of reading it rested %s", rested)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p = r.pace(ctx, true)
	p.last = time.Now().Add(-time.Hour)
	if _, err := p.Write(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while it rests: %v", err)
	}
}

// TestDamagedDocumentsAreWrittenDown has documents that say nothing any more, one that could not be looked
// at today, and one that is whole again.
func TestDamagedDocumentsAreWrittenDown(t *testing.T) {
	r := newRoom(t, days(1))
	cut, gone := errors.New("cut"), sdk.TesseraID{3}
	manifest := Document{Tessera: sdk.TesseraID{1}, Kind: catalog.DocManifest, Problem: cut}
	plan := Document{Tessera: sdk.TesseraID{2}, Kind: catalog.DocPlan, Problem: &fs.PathError{Op: "read", Err: syscall.EIO}}
	busy := Document{Tessera: sdk.TesseraID{2}, Kind: catalog.DocTombstone, Problem: &fs.PathError{Op: "open", Err: syscall.EMFILE}}
	journal := Document{Kind: catalog.DocJournal, Bytes: 10}
	deleted := Document{Tessera: gone, Kind: catalog.DocManifest, Problem: cut}
	known := func() (names []string) {
		must(t, r.Catalog.View(func(tx *catalog.Tx) error {
			for d, err := range tx.BadDocuments() {
				must(t, err)
				names = append(names, fmt.Sprint(d.Tessera.Short(), " ", d.Kind, ": ", d.Problem))
			}
			return nil
		}))
		return names
	}
	r.found = []Document{manifest, plan, busy, journal, deleted}
	got, err := r.Run(t.Context(), nil)
	if names := known(); err != nil || got.Corrupt != 3 || len(names) != 3 || r.Stats().Corrupt != 3 {
		t.Errorf("%+v, %v, known are %q", got, err, names)
	}
	manifest.Problem = nil
	plan.Problem = busy.Problem // nothing new is known of it
	r.found = []Document{manifest, plan, journal}
	got, err = r.Run(t.Context(), nil)
	if names := known(); err != nil || got.Corrupt != 0 || got.Healed != 1 || len(names) != 1 || !strings.Contains(names[0], "plan") {
		t.Errorf("%+v, %v, known are %q", got, err, names)
	}
	if len(r.restored) != 1 || r.restored[0] != manifest {
		t.Errorf("restored %+v", r.restored)
	}
	must(t, os.Rename(filepath.Join(r.root, "objects"), filepath.Join(r.root, "unmounted")))
	if err := r.Accuse(Document{Tessera: gone, Kind: catalog.DocManifest, Problem: cut}); err == nil || len(known()) != 1 {
		t.Errorf("a disk that is gone was taken for damage: %v", err)
	}
}
