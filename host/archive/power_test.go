package archive

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/rebuild"
	"github.com/tesseras/tesseras/sdk"
)

// The sizes of the suites of interrupted creations and deletions.
var (
	powerSize = suite.PowerArchive
	faultSize = suite.FaultArchive
)

// power is an archive on a disk whose power may go, and what its owner was told.
type power struct {
	disk   *crashfs.FS
	rows   *catalog.Catalog
	house  *house
	time   time.Time
	alive  map[sdk.TesseraID]bool // acknowledged; the value tells that it is being deleted
	making bool
	made   [2]sdk.TesseraID // the last of each folder

	rnd   *rand.Rand
	last  bool // the act under way is the last one
	cases int
	err   error
}

// powerFolders share a content; the first has more than one reference to it.
var powerFolders = [2]tree{{"a": "alpha", "b": "beta", "again": "beta", "empty/": ""}, {"b": "beta", "c": "gamma"}}

func newPower(t *testing.T, seed uint64) *power {
	t.Helper()
	p := &power{disk: crashfs.New(crashfs.Options{}), alive: map[sdk.TesseraID]bool{}, rnd: rand.New(rand.NewPCG(seed, 0)), time: time.Unix(1e9, 0)}
	var err error
	p.rows, err = catalog.OpenMemory(catalog.Options{})
	must(t, err)
	return p
}

func (p *power) now() time.Time {
	p.time = p.time.Add(time.Second)
	return p.time.UTC()
}

func (p *power) open() (err error) {
	p.house, err = openHouse("", houseOptions{disk: p.disk, rows: p.rows, now: p.now, reached: func(point string) {
		p.disk.At(point, func(m *crashfs.Moment) { p.look(point, m.Aftermath) })
	}})
	return err
}

// powerActs are what the owner does.
var powerActs = []func(p *power, streams [2][]byte) error{
	func(p *power, s [2][]byte) error { return p.create(0, s) },
	func(p *power, s [2][]byte) error { return p.create(1, s) },
	func(p *power, _ [2][]byte) error { return p.delete(0) },
	func(p *power, _ [2][]byte) error { return p.delete(1) },
	func(p *power, _ [2][]byte) error { return p.open() },
}

func (p *power) create(which int, streams [2][]byte) error {
	p.making = true
	made, err := p.house.Create(ctx, bytes.NewReader(streams[which]))
	p.making = false
	if err == nil {
		p.alive[made.ID], p.made[which] = false, made.ID
	}
	return err
}

func (p *power) delete(which int) error {
	id := p.made[which]
	if _, ok := p.alive[id]; !ok {
		return nil
	}
	p.alive[id] = true
	err := p.house.Delete(ctx, id)
	if err == nil {
		delete(p.alive, id)
	}
	return err
}

// look opens what each interruption leaves at this moment.
func (p *power) look(at string, aftermath func(*rand.Rand) [crashfs.Ways]*crashfs.FS) {
	if !p.last {
		return
	}
	for way, left := range aftermath(p.rnd) {
		p.cases++
		if err := p.check(left); err != nil && p.err == nil {
			p.err = fmt.Errorf("interrupted before %s (way %d): %w", at, way, err)
		}
	}
}

// check opens what is left: all that was acknowledged is there and whole, nothing else but what was
// under way, and the index says what one that is rebuilt from the disk says (I1, I3).
func (p *power) check(left *crashfs.FS) error {
	rows, err := p.rows.Fork()
	if err != nil {
		return err
	}
	h, err := openHouse("", houseOptions{disk: left, rows: rows, now: func() time.Time { return p.time }})
	if err != nil {
		return err
	}
	visible, err := h.audit()
	if err != nil {
		return err
	}
	if err := h.rebuilt(left); err != nil {
		return err
	}
	extra := 0
	there := map[sdk.TesseraID]bool{}
	for _, id := range visible {
		there[id] = true
		if _, ok := p.alive[id]; !ok {
			extra++
		}
	}
	if extra > count(p.making) {
		return fmt.Errorf("%d tesseras are visible that nobody made", extra)
	}
	for id, dying := range p.alive {
		if !there[id] && !dying {
			return fmt.Errorf("%s is gone", id.Short())
		}
	}
	return nil
}

// rebuilt tells whether an index that is made anew of the files says the same as the one that is there.
func (h *house) rebuilt(disk *crashfs.FS) error {
	anew, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		return err
	}
	defer anew.Close()
	log, err := journal.Open(disk, "journal", journal.Config{})
	if err != nil {
		return err
	}
	_, err = rebuild.Run(ctx, rebuild.Deps{
		Catalog: anew, Store: h.cas, Archive: h.Archive, Documents: h.plans, Journal: log,
		Owner: newOwner(1).Key(), Log: slog.New(slog.DiscardHandler), Now: h.clk.now,
	})
	if err != nil {
		return err
	}
	was, err := facts(h.catalog)
	if err != nil {
		return err
	}
	is, err := facts(anew)
	if err == nil && !slices.Equal(was, is) {
		err = fmt.Errorf("the index says %q, rebuilt it says %q", was, is)
	}
	return err
}

// facts lists the rows of own tesseras and their files.
func facts(c *catalog.Catalog) (out []string, err error) {
	err = c.View(func(tx *catalog.Tx) error {
		for t, err := range tx.Tesseras() {
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprint(t))
		}
		for b, err := range tx.AllBlobRefs() {
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprint(b))
		}
		return nil
	})
	return out, err
}

func powerStreams(t *testing.T) (streams [2][]byte) {
	t.Helper()
	for i, f := range powerFolders {
		var err error
		streams[i], err = f.stream("")
		must(t, err)
	}
	return streams
}

// TestPowerLoss creates, deletes and opens in every order of two acts after a first creation, and
// interrupts each at every step.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed, cases, streams := suite.Seed(t), 0, powerStreams(t)
	for round := uint64(0); cases < powerSize.Cases(); round++ {
		for a := range powerActs {
			cases += interrupt(t, seed+round, []int{0, a}, streams)
			for b := range powerActs {
				cases += interrupt(t, seed+round, []int{0, a, b}, streams)
			}
		}
	}
	powerSize.Executed(t, cases, "interruptions of creations and deletions")
}

func interrupt(t *testing.T, seed uint64, acts []int, streams [2][]byte) int {
	t.Helper()
	p := newPower(t, seed)
	p.disk.Watch(func(m *crashfs.Moment) { p.look(m.Call+" "+m.Name, m.Aftermath) })
	err := p.open()
	for i, act := range acts {
		p.last = i == len(acts)-1
		if err == nil {
			err = powerActs[act](p, streams)
		}
	}
	p.look("the end", p.disk.Aftermath)
	if err = errors.Join(err, p.err); err != nil {
		t.Fatalf("acts %v: %v", acts, err)
	}
	return p.cases
}

// TestEveryCallFailsOnce lets every single call of a creation, a deletion and an opening fail with each
// error of a disk: the error is told or made good, all that was acknowledged stays, and after the next
// start index and disk agree.
func TestEveryCallFailsOnce(t *testing.T) {
	t.Parallel()
	cases, streams := 0, powerStreams(t)
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for _, acts := range [][]int{{0, 1}, {0, 1, 2}, {0, 1, 4}} {
			for at, failed := 1, true; failed; at++ {
				failed = failAt(t, acts, streams, at, failure)
				cases += count(failed)
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of creations, deletions and openings")
}

// failAt lets one call of the last act fail.
func failAt(t *testing.T, acts []int, streams [2][]byte, at int, failure error) (failed bool) {
	t.Helper()
	p := newPower(t, 1)
	must(t, p.open())
	for _, act := range acts[:len(acts)-1] {
		must(t, powerActs[act](p, streams))
	}
	p.disk.FailAt(at, failure)
	err := powerActs[acts[len(acts)-1]](p, streams)
	call := p.disk.Failed()
	if call == "" {
		must(t, err)
		return false
	}
	p.disk.FailAt(0, nil)
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("acts %v, %s fails: %v", acts, call, err)
	}
	for _, left := range p.disk.Aftermath(p.rnd) {
		if err := p.check(left); err != nil {
			t.Fatalf("acts %v, %s fails with %v, then: %v", acts, call, failure, err)
		}
	}
	return true
}
