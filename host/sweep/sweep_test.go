package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// room is a store with an index in memory and a clock in the test's hand.
type room struct {
	*Service
	t     testing.TB
	root  string
	clock *clock
	lost  []digest.Hash
	doubt string
}

// clock is set by the test.
type clock struct {
	now  time.Time
	up   time.Duration
	boot string
}

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Steady() (string, time.Duration) { return c.boot, c.up }

// pass lets time go on as it should.
func (c *clock) pass(d time.Duration) { c.now, c.up = c.now.Add(d), c.up+d }

// unsynced is a disk that does not take the time to sync.
type unsynced struct{ vfs.FS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{t: t, root: t.TempDir(), clock: &clock{now: time.Now(), up: time.Hour, boot: "a"}}
	dir, err := vfs.OpenDir(r.root)
	must(t, err)
	objects, err := cas.New(unsynced{dir}, cas.Config{})
	must(t, err)
	books, err := catalog.OpenMemory(catalog.Options{Now: func() time.Time { return r.clock.now }})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(books.Close(), dir.Close())) })
	r.Service, err = New(Deps{
		FS: unsynced{dir}, Objects: objects, Catalog: books, Clock: r.clock, Log: slog.New(slog.DiscardHandler),
		Doubt:   func(context.Context) (string, error) { return r.doubt, nil },
		Missing: func(lost []digest.Hash) error { r.lost = append(r.lost, lost...); return nil },
	})
	must(t, err)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put stages a content and gives back its pin, so that it is an orphan.
func (r *room) put(content string) digest.Hash {
	r.t.Helper()
	o, err := r.Objects.Stage(r.t.Context(), bytes.NewReader([]byte(content)), nil)
	must(r.t, err)
	r.Objects.Unpin(o.Hash)
	return o.Hash
}

// keep puts a content that a tessera needs.
func (r *room) keep(content string) digest.Hash {
	r.t.Helper()
	h := r.put(content)
	must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.AddBlobRef(catalog.BlobRef{Tessera: sdk.TesseraID{1}, Memory: h, Name: content, Hash: h, Size: int64(len(content))})
	}))
	return h
}

// leak leaves an object row that nothing refers to.
func (r *room) leak(content string) digest.Hash {
	r.t.Helper()
	h := r.keep(content)
	must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error {
		_, _, err := tx.DropBlobRefs(sdk.TesseraID{1}, 100) // and then the process died
		return err
	}))
	return h
}

// age makes a file older.
func (r *room) age(h digest.Hash, by time.Duration) {
	r.t.Helper()
	at := r.clock.now.Add(-by)
	must(r.t, os.Chtimes(r.path(h), at, at))
}

func (r *room) path(h digest.Hash) string { return filepath.Join(r.root, cas.Path(h)) }

func (r *room) there(h digest.Hash) bool {
	_, err := os.Stat(r.path(h))
	return err == nil
}

func (r *room) sweep(o Options) Report {
	r.t.Helper()
	report, err := r.Run(r.t.Context(), o)
	must(r.t, err)
	return report
}

func want(t testing.TB, got, want Report) {
	t.Helper()
	if got != want {
		t.Errorf("swept %+v, want %+v", got, want)
	}
}

func TestSweepRemovesWhatNobodyNeeds(t *testing.T) {
	r := newRoom(t)
	kept := r.keep("kept")
	old, young := r.put("orphan"), r.put("young")
	r.age(old, DefaultGrace+time.Second)
	r.age(kept, 100*DefaultGrace)
	want(t, r.sweep(Options{DryRun: true, Grace: -1}), Report{Orphans: 1, SkippedYoung: 1, BytesFreed: 6})
	if !r.there(old) {
		t.Error("a dry run removed something")
	}
	want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, SkippedYoung: 1, BytesFreed: 6})
	if r.there(old) || !r.there(young) || !r.there(kept) {
		t.Errorf("old %v, young %v, kept %v", r.there(old), r.there(young), r.there(kept))
	}
	want(t, r.sweep(Options{Grace: -1}), Report{SkippedYoung: 1})
	r.clock.pass(time.Second)
	want(t, r.sweep(Options{Grace: 0}), Report{Orphans: 1, BytesFreed: 5})
	want(t, r.sweep(Options{Grace: 0}), Report{})
	if got := r.Stats(); got.Sweeps != 4 || got.Orphans != 2 || got.SkippedYoung != 2 || got.Seconds <= 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestSweepCleansRowsWithoutReferences(t *testing.T) {
	r := newRoom(t)
	h := r.leak("leaked")
	want(t, r.sweep(Options{Grace: -1}), Report{SkippedYoung: 1})
	r.clock.pass(2 * DefaultGrace)
	want(t, r.sweep(Options{Grace: -1, DryRun: true}), Report{LeakedRefs: 1, BytesFreed: 6})
	want(t, r.sweep(Options{Grace: -1}), Report{LeakedRefs: 1, BytesFreed: 6})
	err := r.Catalog.View(func(tx *catalog.Tx) error { _, err := tx.Object(h); return err })
	if !errors.Is(err, catalog.ErrNotFound) || r.there(h) {
		t.Errorf("row: %v, file there: %v", err, r.there(h))
	}
	if got := r.Stats().LeakedRefs; got != 1 {
		t.Errorf("%d leaked references counted", got)
	}
}

func TestSweepTellsOfNeededObjectsWithoutAFile(t *testing.T) {
	r := newRoom(t)
	h := r.keep("lost")
	r.keep("kept")
	must(t, os.Remove(r.path(h)))
	want(t, r.sweep(Options{Grace: 0}), Report{Missing: 1})
	if len(r.lost) != 1 || r.lost[0] != h {
		t.Errorf("told of %v", r.lost)
	}
}

func TestSweepClearsTemporaryFilesThatNobodyWrites(t *testing.T) {
	r := newRoom(t)
	leaked := filepath.Join(r.root, "objects", "tmp", "3", "gone-1")
	must(t, os.WriteFile(leaked, []byte("half"), 0o600))
	in, out := io.Pipe()
	staged := make(chan error, 1)
	go func() {
		o, err := r.Objects.Stage(t.Context(), in, nil)
		r.Objects.Unpin(o.Hash)
		staged <- err
	}()
	_, err := out.Write(make([]byte, 1<<20)) // more than a chunk: the temporary file is there
	must(t, err)
	want(t, r.sweep(Options{Grace: -1}), Report{SkippedYoung: 1})
	r.clock.pass(2 * DefaultGrace)
	want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, BytesFreed: 4})
	must(t, out.Close())
	must(t, <-staged)
}

func TestAStrayIsLeftAlone(t *testing.T) {
	r := newRoom(t)
	h := r.keep("kept")
	stray := filepath.Join(filepath.Dir(r.path(h)), "notes.txt")
	must(t, os.WriteFile(stray, nil, 0o600))
	want(t, r.sweep(Options{Grace: 0}), Report{Strays: 1})
	if _, err := os.Stat(stray); err != nil {
		t.Error(err)
	}
}

func TestALeapOfTheClockPostpones(t *testing.T) {
	for name, leap := range map[string]func(*clock){
		"forwards":                   func(c *clock) { c.now = c.now.Add(5 * time.Hour) },
		"a year":                     func(c *clock) { c.now = c.now.AddDate(1, 0, 0) },
		"backwards":                  func(c *clock) { c.now = c.now.Add(-5 * time.Hour) },
		"backwards over a new start": func(c *clock) { c.now, c.boot, c.up = c.now.Add(-5*time.Hour), "b", 0 },
		"forwards over a new start":  func(c *clock) { c.now, c.boot, c.up = c.now.Add(5*time.Hour), "b", time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			h := r.put("orphan")
			leap(r.clock)
			r.age(h, 2*DefaultGrace) // by the new time
			got := r.sweep(Options{Grace: -1})
			if got.Postponed == "" || got.Orphans != 0 || !r.there(h) {
				t.Errorf("swept %+v", got)
			}
			r.clock.pass(DefaultGrace / 2)
			if got := r.sweep(Options{Grace: -1}); got.Postponed == "" || !r.there(h) {
				t.Errorf("half an hour later: %+v", got)
			}
			if _, err := New(r.Deps); err != nil { // a new process knows of it too
				t.Fatal(err)
			}
			r.clock.pass(DefaultGrace)
			want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, BytesFreed: 6})
		})
	}
}

func TestTimeThatPassesAsItShouldPostponesNothing(t *testing.T) {
	r := newRoom(t)
	for range 5 {
		h := r.put("orphan")
		r.clock.pass(24*time.Hour + time.Second)
		r.clock.now = r.clock.now.Add(2 * time.Second) // as it is adjusted
		r.age(h, 2*DefaultGrace)
		want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, BytesFreed: 6})
		r.clock.boot, r.clock.up = r.clock.boot+"b", 0 // the machine was started again
	}
}

// TestTheFirstRoundAfterALeapIsPostponedHoweverLate has a node notice a leap when it starts, hours before its
// first round: that is postponed all the same, also by another process, and the next is not.
func TestTheFirstRoundAfterALeapIsPostponedHoweverLate(t *testing.T) {
	r := newRoom(t)
	h := r.put("orphan")
	r.clock.now = r.clock.now.Add(5 * time.Hour)
	for range 2 {
		if _, err := New(r.Deps); err != nil {
			t.Fatal(err)
		}
		r.clock.pass(3 * DefaultGrace)
	}
	r.age(h, 2*DefaultGrace)
	if got := r.sweep(Options{Grace: -1, DryRun: true}); got.Postponed == "" {
		t.Errorf("a dry run says %+v", got)
	}
	if got := r.sweep(Options{Grace: -1}); got.Postponed == "" || !r.there(h) {
		t.Errorf("swept %+v", got)
	}
	want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, BytesFreed: 6})
}

// TestALeapDoesNotEmptyTheTrash puts the clock forward by more than the time that what was moved aside is
// kept. It goes after that time has passed, by the steady clock and in any number of processes and starts.
func TestALeapDoesNotEmptyTheTrash(t *testing.T) {
	r := newRoom(t)
	day := filepath.Join(r.root, Quarantine, r.clock.now.UTC().Format(time.DateOnly))
	must(t, os.MkdirAll(day, 0o700))
	must(t, os.WriteFile(filepath.Join(day, "x.blob"), []byte("rotten"), 0o600))
	want(t, r.sweep(Options{Grace: -1}), Report{})
	r.clock.now = r.clock.now.Add(2 * Keep)
	for i := range 10 {
		if _, err := New(r.Deps); err != nil {
			t.Fatal(err)
		}
		r.clock.pass(Keep/10 - time.Second)
		if got := r.sweep(Options{Grace: -1}); got.BytesFreed != 0 {
			t.Fatalf("in part %d of the time: %+v", i, got)
		}
		if i%3 == 2 {
			r.clock.boot, r.clock.up = r.clock.boot+"b", 0
		}
	}
	r.clock.pass(10 * time.Second)
	want(t, r.sweep(Options{Grace: -1}), Report{BytesFreed: 6})
}

func TestWhileInDoubtOrphansOnlyMoveAside(t *testing.T) {
	r := newRoom(t)
	h := r.put("orphan")
	r.age(h, 2*DefaultGrace)
	r.doubt = "the index was rebuilt"
	want(t, r.sweep(Options{Grace: -1}), Report{Orphans: 1, Trashed: 1, Doubt: r.doubt})
	aside := filepath.Join(r.root, Trash, r.clock.now.UTC().Format(time.DateOnly), h.String()+".blob")
	if b, err := os.ReadFile(aside); err != nil || string(b) != "orphan" || r.there(h) {
		t.Errorf("%q, %v", b, err)
	}
	r.clock.pass(Keep)
	want(t, r.sweep(Options{Grace: -1}), Report{})
	if _, err := os.Stat(aside); err != nil {
		t.Error("gone too early")
	}
	r.clock.pass(48 * time.Hour)
	want(t, r.sweep(Options{Grace: -1}), Report{BytesFreed: 6})
	if _, err := os.Stat(filepath.Dir(aside)); err == nil {
		t.Error("the trash was not emptied")
	}
}

func TestSweepStopsAtOnceAndGoesOn(t *testing.T) {
	r := newRoom(t)
	for i := range 50 {
		r.age(r.put(fmt.Sprint(i)), 2*DefaultGrace)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Run(ctx, Options{Grace: -1}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if got := r.sweep(Options{Grace: -1}); got.Orphans != 50 {
		t.Errorf("%+v", got)
	}
}

func TestStepsKeepTheirDistance(t *testing.T) {
	r := newRoom(t)
	r.Every = time.Hour
	for range 3 {
		must(t, r.Step(t.Context()))
	}
	if n := r.Stats().Sweeps; n != 1 {
		t.Errorf("%d sweeps at once", n)
	}
	r.clock.pass(time.Hour)
	must(t, r.Step(t.Context()))
	r.clock.boot, r.clock.up = "b", 0
	must(t, r.Step(t.Context()))
	if n := r.Stats().Sweeps; n != 3 {
		t.Errorf("%d sweeps after an hour and a new start", n)
	}
}
