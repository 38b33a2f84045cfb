package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// powerSize is how many crash points TestPowerLoss looks at.
var powerSize = suite.PowerJournal

// TestPowerLoss does every sequence of four operations on a journal and takes the power away before each
// call: every acknowledged record is there, in order, perhaps the one under way too, and no damage is seen.
func TestPowerLoss(t *testing.T) {
	seed, cases := suite.Seed(t), 0
	for round := uint64(0); cases < powerSize.Cases() && !t.Failed(); round++ {
		for a := range journalActs {
			for b := range journalActs {
				for c := range journalActs {
					for d := range journalActs {
						fat := (a+b+c+d+int(round))%2 == 1
						cases += interrupt(t, seed+round, []int{a, b, c, d}, fat)
					}
				}
			}
		}
	}
	powerSize.Executed(t, cases, "crash points of the journal")
}

var powerConfig = Config{SegmentSize: 900}

// power is a journal on a disk whose power may go.
type power struct {
	fs      *crashfs.FS
	journal *Journal
	acked   []Record
	next    *Record // under way
	rnd     *rand.Rand
	cases   int
	err     error
}

func interrupt(t *testing.T, seed uint64, acts []int, fat bool) int {
	t.Helper()
	p := &power{fs: crashfs.New(crashfs.Options{FAT: fat}), rnd: rand.New(rand.NewPCG(seed, 0))}
	p.fs.Watch(func(m *crashfs.Moment) { p.look(m.Call+" "+m.Name, m.Aftermath(p.rnd)) })
	var err error
	p.journal, err = Open(p.fs, "journal", powerConfig)
	for _, act := range acts {
		if err == nil {
			err = journalActs[act](p)
		}
	}
	p.fs.Watch(nil)
	p.look("the end", p.fs.Aftermath(p.rnd))
	if err = errors.Join(err, p.err); err != nil {
		t.Fatalf("acts %v: %v", acts, err)
	}
	return p.cases
}

func (p *power) look(at string, aftermath [crashfs.Ways]*crashfs.FS) {
	for way, left := range aftermath {
		p.cases++
		if err := p.check(left); err != nil && p.err == nil {
			p.err = fmt.Errorf("power lost before %s (way %d): %w", at, way, err)
		}
	}
}

// check tells what is wrong with what is left, and goes on with it.
func (p *power) check(left *crashfs.FS) error {
	j, err := Open(left, "journal", powerConfig)
	if err != nil {
		return err
	}
	got, err := p.read(j)
	if err != nil {
		return err
	}
	if err := j.Append(9, []byte("goes on")); err != nil {
		return err
	}
	if j, err = Open(left.Crash(crashfs.Nothing()), "journal", powerConfig); err != nil {
		return err
	}
	errs, records := readAll(j.Records())
	if len(errs) > 0 || len(records) != got+1 || records[got].Kind != 9 {
		return fmt.Errorf("%d records after going on from %d: %v", len(records), got, errs)
	}
	return nil
}

// readOnly is check without going on.
func (p *power) readOnly(left *crashfs.FS) error {
	j, err := Open(left, "journal", powerConfig)
	if err == nil {
		_, err = p.read(j)
	}
	return err
}

// read compares the records with those that were acknowledged.
func (p *power) read(j *Journal) (int, error) {
	errs, records := readAll(j.Records())
	want := p.acked
	if p.next != nil && len(records) > len(want) {
		want = append(want[:len(want):len(want)], *p.next)
	}
	if len(errs) > 0 || len(records) != len(want) {
		return 0, fmt.Errorf("%d records, %d acknowledged: %v", len(records), len(p.acked), errs)
	}
	for i, r := range records {
		if r.Kind != want[i].Kind || !bytes.Equal(r.Payload, want[i].Payload) {
			return 0, fmt.Errorf("record %d is another", i)
		}
	}
	return len(records), nil
}

// journalActs are the operations that sequences are made of.
var journalActs = []func(*power) error{
	func(p *power) error { return p.append(10) },
	func(p *power) error { return p.append(700) },
	func(p *power) error { return p.append(1500) },
	(*power).reopen,
}

func (p *power) append(size int) error {
	r := Record{Kind: byte(1 + len(p.acked)), Payload: bytes.Repeat([]byte{byte(size)}, size)}
	p.next = &r
	if err := p.journal.Append(r.Kind, r.Payload); err != nil {
		return err
	}
	p.acked, p.next = append(p.acked, r), nil
	return nil
}

func (p *power) reopen() (err error) {
	if err = p.journal.Close(); err == nil {
		p.journal, err = Open(p.fs, "journal", powerConfig)
	}
	return err
}

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultJournal

// TestEveryCallFails lets every single call of every operation fail once with each error of a disk: the error
// is told or made good, every acknowledged record is there after that and after the power is lost, and what
// was not acknowledged is there whole or not at all.
func TestEveryCallFails(t *testing.T) {
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for first := range journalActs {
			for second := range journalActs {
				for act := range journalActs {
					for at := 1; callFails(t, []int{first, second, act}, at, failure); at++ {
						cases++
					}
				}
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of the journal")
}

// callFails lets one call of the last act fail, and tells whether there was such a call.
func callFails(t *testing.T, acts []int, at int, failure error) bool {
	t.Helper()
	p := &power{fs: crashfs.New(crashfs.Options{}), rnd: rand.New(rand.NewPCG(1, 0))}
	var err error
	p.journal, err = Open(p.fs, "journal", powerConfig)
	for _, act := range acts[:len(acts)-1] {
		err = errors.Join(err, journalActs[act](p))
	}
	if err != nil {
		t.Fatal(err)
	}
	p.fs.FailAt(at, failure)
	err = journalActs[acts[len(acts)-1]](p)
	call := p.fs.Failed()
	p.fs.FailAt(0, nil)
	if call == "" {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("acts %v, %s fails: %v", acts, call, err)
	}
	for way, left := range p.fs.Aftermath(p.rnd) {
		check := p.check
		if way == crashfs.Killed && strings.HasPrefix(call, "sync ") {
			check = p.readOnly // a file whose sync failed never syncs again there
		}
		if err := check(left); err != nil {
			t.Fatalf("acts %v, %s fails with %v, then (way %d): %v", acts, call, failure, way, err)
		}
	}
	return true
}
