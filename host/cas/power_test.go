package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// powerSize is how many crash points TestPowerLoss looks at.
var powerSize = suite.PowerStore

// TestPowerLoss does every sequence of up to three operations, and takes the power away before each
// call that changes the disk, in every way. Then the store opens, keeps no temporary file, reads every
// object that the index needs byte by byte, and holds no file that is not what its name says.
func TestPowerLoss(t *testing.T) {
	seed, longest, cases := suite.Seed(t), 3, 0
	switch {
	case suite.Nightly():
		longest = 4
	case suite.Race():
		longest = 2
	}
	for round := uint64(0); cases < powerSize.Cases() && !t.Failed(); round++ {
		cases += powerRound(t, seed+round, longest, powerHome{acts: powerActs})
	}
	powerSize.Executed(t, cases, "crash points of the object store")
}

// TestPowerLossOnFAT does the same on a disk whose names ignore case and where no open file is replaced,
// with a store that syncs the folders of a batch together.
func TestPowerLossOnFAT(t *testing.T) {
	t.Logf("%d crash points on FAT", powerRound(t, suite.Seed(t), 2, powerHome{crashfs.Options{FAT: true}, true, powerActs}))
}

// careSize is how many crash points TestPowerLossWhileItIsLookedAfter looks at.
var careSize = suite.PowerCare

// TestPowerLossWhileItIsLookedAfter is TestPowerLoss for sequences with what sweeps, scrubs and proofs do.
func TestPowerLossWhileItIsLookedAfter(t *testing.T) {
	seed, cases := suite.Seed(t), 0
	for round := uint64(0); cases < careSize.Cases() && !t.Failed(); round++ {
		cases += powerRound(t, seed+round, 2, powerHome{acts: allActs})
	}
	careSize.Executed(t, cases, "crash points of an object store that is looked after")
}

// powerHome is where the store is, and what it is used for.
type powerHome struct {
	disk     crashfs.Options
	together bool // see Config
	acts     []powerAct
}

// powerRound runs all sequences once.
func powerRound(t *testing.T, seed uint64, longest int, home powerHome) (cases int) {
	g, stop := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	counts := make([]int, len(home.acts))
	for first := range home.acts {
		g.Go(func() (err error) {
			counts[first], err = powerFrom(stop, seed, []int{first}, longest, home)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for _, n := range counts {
		cases += n
	}
	return cases
}

// powerFrom runs a sequence and all that go on from it.
func powerFrom(stop context.Context, seed uint64, sequence []int, longest int, home powerHome) (int, error) {
	cases, err := powerSequence(seed, sequence, home)
	if err != nil || len(sequence) == longest || stop.Err() != nil {
		return cases, err
	}
	for next := range home.acts {
		n, err := powerFrom(stop, seed, append(sequence[:len(sequence):len(sequence)], next), longest, home)
		cases += n
		if err != nil {
			return cases, err
		}
	}
	return cases, nil
}

// power is a store on a disk whose power may go, and what its index would need.
type power struct {
	fs    *crashfs.FS
	store *Store
	need  map[digest.Hash][]byte

	together bool // see Config
	rotten   bool // a file that is not needed was damaged

	rnd   *rand.Rand
	last  int // of the sequence: the acts before it were looked at in shorter sequences
	act   int
	cases int
	err   error // the first finding
}

// powerConfig syncs the folders of a batch together or not.
func powerConfig(together bool) Config {
	return Config{Workers: 2, room: 1024, Together: together, few: 1}
}

// powerSequence runs the acts one after the other. The power goes at every step of the last one.
func powerSequence(seed uint64, sequence []int, home powerHome) (int, error) {
	p := &power{fs: crashfs.New(home.disk), together: home.together, need: map[digest.Hash][]byte{}, rnd: rand.New(rand.NewPCG(seed, 0)), last: len(sequence) - 1}
	p.fs.Watch(p.atStep)
	name := "open"
	err := p.open()
	for i, act := range sequence {
		if p.act = i; err == nil && p.err == nil {
			err = home.acts[act].do(p)
			name += ", " + home.acts[act].name
		}
	}
	p.fs.Watch(nil)
	p.look("the end", p.fs.Aftermath(p.rnd))
	if err = errors.Join(err, p.err); err != nil {
		return p.cases, fmt.Errorf("%s: %w", name, err)
	}
	return p.cases, nil
}

func (p *power) open() (err error) {
	p.store, err = New(p.fs, powerConfig(p.together))
	return err
}

func (p *power) atStep(m *crashfs.Moment) {
	if p.act == p.last {
		p.look(m.Call+" "+m.Name, m.Aftermath(p.rnd))
	}
}

// look looks at what is left after each way to be interrupted.
func (p *power) look(at string, aftermath [crashfs.Ways]*crashfs.FS) {
	for way, left := range aftermath {
		p.cases++
		err := p.check(left)
		if err == nil && (way == crashfs.Killed || p.cases%16 == 0) { // what was written and not synced is there
			err = p.goOn(left)
		}
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("power lost before %s (way %d): %w", at, way, err)
		}
	}
}

// check opens what is left and looks.
func (p *power) check(left *crashfs.FS) error {
	s, err := New(left, powerConfig(p.together))
	if err != nil {
		return err
	}
	return p.right(left, s)
}

// goOn opens what is left, puts all contents, whatever is there of them, and takes the power away again.
func (p *power) goOn(left *crashfs.FS) error {
	s, err := New(left, powerConfig(p.together))
	if err != nil {
		return err
	}
	b := s.Batch()
	for _, content := range powerContents {
		if _, err := b.Stage(ctx, bytes.NewReader(content)); err != nil {
			return err
		}
	}
	if err := b.Sync(); err != nil {
		return err
	}
	b.Close()
	left = left.Crash(crashfs.Nothing())
	if s, err = New(left, powerConfig(p.together)); err != nil {
		return err
	}
	for _, content := range powerContents {
		if err := readsAs(s, content); err != nil {
			return fmt.Errorf("put again and acknowledged: %w", err)
		}
	}
	return nil
}

// right tells what is wrong with a store: see TestPowerLoss.
func (p *power) right(left *crashfs.FS, s *Store) error {
	for _, content := range p.need {
		if err := readsAs(s, content); err != nil {
			return fmt.Errorf("acknowledged: %w", err)
		}
	}
	return s.Walk(ctx, func(f Found) error {
		if f.Stray() {
			return fmt.Errorf("%s is left", f.Path)
		}
		content, err := left.Content(f.Path)
		if err == nil && digest.Of(content) != f.Hash && !p.rotten {
			err = fmt.Errorf("%s is torn: %d bytes", f.Path, len(content))
		}
		return err
	})
}

// readsAs tells what is wrong with the object of a content.
func readsAs(s *Store, content []byte) error {
	r, err := s.Open(digest.Of(content), int64(len(content)))
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content) {
		err = errors.New("other bytes came back")
	}
	return err
}

// powerContents are the contents: an empty one, one that shares its folder, one of more than a buffer.
var powerContents = [...][]byte{nil, sameFolder(nil), []byte(strings.Repeat("large ", 250))}

const (
	small = iota + 1
	large
)

// sameFolder finds a content whose object lies in the folder of another's.
func sameFolder(other []byte) []byte {
	for i := 0; ; i++ {
		content := []byte(fmt.Sprint("small ", i))
		if digest.Of(content)[0] == digest.Of(other)[0] {
			return content
		}
	}
}

// powerAct is an operation that sequences are made of.
type powerAct struct {
	name string
	do   func(*power) error
}

// powerActs are those of who keeps things.
var powerActs = []powerAct{
	{"put small", func(p *power) error { return p.put(small, false) }},
	{"put large", func(p *power) error { return p.put(large, false) }},
	{"put known large", func(p *power) error { return p.put(large, true) }},
	{"put broken", (*power).putBroken},
	{"put batch", (*power).putBatch},
	{"discard batch", (*power).discardBatch},
	{"release small", func(p *power) error { return p.release(small) }},
	{"release large", func(p *power) error { return p.release(large) }},
	{"damage and put", (*power).mend},
	{"open again", (*power).open},
}

// allActs are these and those of who looks after the store.
var allActs = append(powerActs[:len(powerActs):len(powerActs)],
	powerAct{"put provable", (*power).putProvable},
	powerAct{"move small", func(p *power) error { return p.move(small) }},
	powerAct{"quarantine large", (*power).quarantine},
	powerAct{"clear", (*power).clear},
)

// putProvable puts a content of which slices will be proven.
func (p *power) putProvable() error {
	content := powerContents[large]
	o, err := p.store.StageProvable(ctx, bytes.NewReader(content), digest.Of(content))
	if err != nil {
		return err
	}
	p.need[o.Hash] = content
	p.store.Unpin(o.Hash)
	return nil
}

// move releases a content by a sweep that is in doubt.
func (p *power) move(which int) error {
	h := digest.Of(powerContents[which])
	delete(p.need, h)
	gone, err := p.store.MoveAll([]digest.Hash{h}, "trash/today", func(digest.Hash) (bool, error) { return false, nil })
	if err == nil && len(gone) != 1 {
		err = errors.New("a released object stays")
	}
	return err
}

// quarantine damages a file and puts it aside, where there is one. What is damaged is not needed any more:
// it is lost.
func (p *power) quarantine() error {
	h := digest.Of(powerContents[large])
	delete(p.need, h)
	_ = p.fs.Damage(Path(h), func(b []byte) []byte { return append(b[:700:700], "rot"...) })
	p.rotten = true
	read, err := p.store.Version(h)
	if errors.Is(err, ErrMissing) {
		p.rotten = false
		return nil
	}
	if err != nil {
		return err
	}
	moved, err := p.store.Quarantine(h, "quarantine/today", read)
	if err == nil && !moved {
		err = errors.New("what was damaged stays")
	}
	p.rotten = err != nil
	return err
}

// clear clears a temporary file that was left behind.
func (p *power) clear() error {
	f, err := p.fs.Create(tmpFolderOf(0) + "/left")
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	found, err := p.store.ClearTemps(ctx, time.Unix(1<<40, 0), true)
	if err == nil && found.Files != 1 {
		err = fmt.Errorf("found %+v", found)
	}
	return err
}

func (p *power) put(which int, known bool) error {
	content := powerContents[which]
	var hint *digest.Hash
	if h := digest.Of(content); known {
		hint = &h
	}
	o, err := p.store.Stage(ctx, bytes.NewReader(content), hint)
	if err != nil {
		return err
	}
	p.need[o.Hash] = content // the index has it: acknowledged
	p.store.Unpin(o.Hash)
	return nil
}

// putBroken puts what breaks off.
func (p *power) putBroken() error {
	gone := errors.New("gone")
	_, err := p.store.Stage(ctx, io.MultiReader(bytes.NewReader(powerContents[large]), iotest.ErrReader(gone)), nil)
	if !errors.Is(err, gone) {
		return fmt.Errorf("a broken stream gives %w", err)
	}
	return nil
}

func (p *power) putBatch() error {
	b := p.store.Batch()
	defer b.Close()
	for _, content := range powerContents {
		if _, err := b.Stage(ctx, bytes.NewReader(content)); err != nil {
			return err
		}
	}
	if err := b.Sync(); err != nil {
		return err
	}
	for _, content := range powerContents {
		p.need[digest.Of(content)] = content
	}
	return nil
}

func (p *power) discardBatch() error {
	b := p.store.Batch()
	var err error
	for _, content := range powerContents {
		if _, err = b.Stage(ctx, bytes.NewReader(content)); err != nil {
			break
		}
	}
	return errors.Join(err, b.Discard(func(h digest.Hash) (bool, error) {
		_, needed := p.need[h]
		return needed, nil
	}))
}

func (p *power) release(which int) error {
	h := digest.Of(powerContents[which])
	delete(p.need, h)
	gone, err := p.store.Remove(h, never)
	if err == nil && !gone {
		err = errors.New("a released object stays")
	}
	return err
}

// mend damages a file that is not needed and puts its content over it.
func (p *power) mend() error {
	h := digest.Of(powerContents[large])
	delete(p.need, h)
	_ = p.fs.Damage(Path(h), func(b []byte) []byte { return append(b[:700:700], "rot"...) }) // where there is one
	p.rotten = true
	err := p.put(large, true)
	p.rotten = err != nil
	return err
}

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultStore

// TestEveryCallFails lets every single call of every operation fail once with each error of a disk: the
// error is told or made good, no pin stays, all that was acknowledged before is intact, now, after the
// power is lost and when all is put again.
func TestEveryCallFails(t *testing.T) {
	cases := 0
	for _, failure := range diskErrors {
		for _, before := range [][]int{nil, {putBatchAct}} {
			for act := range allActs {
				for at, failed := 1, true; failed; at++ {
					failed = callFails(t, before, act, at, failure)
					if failed {
						cases++
					}
				}
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of the object store")
}

// putBatchAct is the act that puts all contents.
const putBatchAct = 4

// callFails lets one call of an act fail.
func callFails(t *testing.T, before []int, act, at int, failure error) (failed bool) {
	t.Helper()
	p := &power{fs: crashfs.New(crashfs.Options{}), need: map[digest.Hash][]byte{}, rnd: rand.New(rand.NewPCG(1, 0))}
	must(t, p.open())
	for _, a := range before {
		must(t, allActs[a].do(p))
	}
	store := p.store
	p.fs.FailAt(at, failure)
	err := allActs[act].do(p)
	call := p.fs.Failed()
	p.fs.FailAt(0, nil)
	if call == "" {
		must(t, err)
		return false
	}
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("%s, %s fails: %v", allActs[act].name, call, err)
	}
	noPins(t, store)
	for way, left := range p.fs.Aftermath(p.rnd) {
		if err := errors.Join(p.check(left), p.goOn(left)); err != nil {
			t.Fatalf("%s, %s fails with %v, then (way %d): %v", allActs[act].name, call, failure, way, err)
		}
	}
	return true
}
