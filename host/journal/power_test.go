package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
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
