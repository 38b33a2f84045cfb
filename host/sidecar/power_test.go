package sidecar

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// powerSize is how many crash points TestPowerLoss looks at.
var powerSize = suite.PowerSidecar

// TestPowerLoss does every sequence of three operations on a shelf and takes the power away before each
// call: every document is as it was acknowledged, or as the operation under way would have it, whole.
func TestPowerLoss(t *testing.T) {
	seed, cases := suite.Seed(t), 0
	for round := uint64(0); cases < powerSize.Cases() && !t.Failed(); round++ {
		for a := range shelfActs {
			for b := range shelfActs {
				for c := range shelfActs {
					fat := (a+b+c+int(round))%2 == 1
					cases += interrupt(t, seed+round, []int{a, b, c}, fat)
				}
			}
		}
	}
	powerSize.Executed(t, cases, "crash points of documents")
}

// power is a shelf on a disk whose power may go.
type power struct {
	fs    *crashfs.FS
	shelf *Shelf
	docs  map[string]string // acknowledged, by path
	path  string            // of the document being changed
	next  string            // what it is to be
	rnd   *rand.Rand
	cases int
	err   error
}

func interrupt(t *testing.T, seed uint64, acts []int, fat bool) int {
	t.Helper()
	p := &power{fs: crashfs.New(crashfs.Options{FAT: fat}), docs: map[string]string{}, rnd: rand.New(rand.NewPCG(seed, 0))}
	p.fs.Watch(func(m *crashfs.Moment) { p.look(m.Call+" "+m.Name, m.Aftermath(p.rnd)) })
	err := p.open()
	for _, act := range acts {
		if err == nil {
			err = shelfActs[act](p)
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

// check tells what is wrong with what is left.
func (p *power) check(left *crashfs.FS) error {
	if _, err := Open(left, "plans"); err != nil {
		return err
	}
	found := map[string]string{}
	for _, name := range left.Files() {
		content, err := left.Content(name)
		if err != nil {
			return err
		}
		found[name] = string(content)
		was, there := p.docs[name]
		if there && string(content) == was || name == p.path && string(content) == p.next {
			continue
		}
		return fmt.Errorf("%s holds %.20q, was %.20q", name, content, was)
	}
	for name := range p.docs {
		if _, there := found[name]; !there && (name != p.path || p.next != "") {
			return fmt.Errorf("%s is gone", name)
		}
	}
	return nil
}

// shelfActs are the operations that sequences are made of.
var shelfActs = []func(*power) error{
	func(p *power) error { return p.write(id(1), Plan, "short") },
	func(p *power) error { return p.write(id(1), Plan, strings.Repeat("a longer document ", 60)) },
	func(p *power) error { return p.write(id(1), Tombstone, "tombstone") },
	func(p *power) error { return p.write(id(2), Plan, strings.Repeat("another ", 100)) },
	func(p *power) error { return p.remove(id(1), Plan) },
	(*power).open,
}

func (p *power) open() (err error) {
	p.shelf, err = Open(p.fs, "plans")
	return err
}

func (p *power) write(t sdk.TesseraID, ext, doc string) error {
	p.path, p.next = p.shelf.Path(t, ext), doc
	if err := p.shelf.Write(t, ext, []byte(doc)); err != nil {
		return err
	}
	p.docs[p.path], p.path = doc, ""
	return nil
}

func (p *power) remove(t sdk.TesseraID, ext string) error {
	p.path, p.next = p.shelf.Path(t, ext), ""
	if err := p.shelf.Remove(t, ext); err != nil {
		return err
	}
	delete(p.docs, p.path)
	p.path = ""
	return nil
}

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultSidecar

// TestEveryCallFails lets every single call of every operation fail once with each error of a disk: the error
// is told or made good, and every other document is as it was acknowledged, now and after the power is lost.
func TestEveryCallFails(t *testing.T) {
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for before := range shelfActs {
			for act := range shelfActs {
				for at := 1; callFails(t, before, act, at, failure); at++ {
					cases++
				}
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of documents")
}

// callFails lets one call of an act fail, and tells whether there was such a call.
func callFails(t *testing.T, before, act, at int, failure error) bool {
	t.Helper()
	p := &power{fs: crashfs.New(crashfs.Options{}), docs: map[string]string{}, rnd: rand.New(rand.NewPCG(1, 0))}
	if err := errors.Join(p.open(), shelfActs[before](p)); err != nil {
		t.Fatal(err)
	}
	p.fs.FailAt(at, failure)
	err := shelfActs[act](p)
	call := p.fs.Failed()
	p.fs.FailAt(0, nil)
	if call == "" {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("%s fails: %v", call, err)
	}
	for way, left := range p.fs.Aftermath(p.rnd) {
		if err := p.check(left); err != nil {
			t.Fatalf("act %d after %d, %s fails with %v, then (way %d): %v", act, before, call, failure, way, err)
		}
	}
	p.path = ""
	for _, again := range []func(*power) error{(*power).open, shelfActs[act]} { // the next one is none the worse for it
		if err := again(p); err != nil {
			t.Fatalf("act %d again after %s failed: %v", act, call, err)
		}
	}
	if err := p.check(p.fs.Crash(crashfs.Nothing())); err != nil {
		t.Fatalf("act %d again after %s failed: %v", act, call, err)
	}
	return true
}
