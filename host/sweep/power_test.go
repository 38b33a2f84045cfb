package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// powerSize is how many interruptions TestPowerLoss makes.
var powerSize = suite.PowerSweep

// power is a store that is used and swept on a disk whose power may go.
type power struct {
	*Service
	disk  *crashfs.FS
	rows  *catalog.Catalog
	doubt bool
	needs map[string]bool // contents that were acknowledged

	rnd   *rand.Rand
	last  bool
	cases int
	err   error
}

func openPower(disk vfs.FS, rows *catalog.Catalog, doubt *bool) (*Service, error) {
	return openAt(disk, rows, doubt, &clock{now: time.Unix(1_700_000_000, 0).Add(2 * DefaultGrace), up: time.Hour, boot: "a"})
}

// openAt is openPower by another clock.
func openAt(disk vfs.FS, rows *catalog.Catalog, doubt *bool, now Clock) (*Service, error) {
	objects, err := cas.New(disk, cas.Config{})
	if err != nil {
		return nil, err
	}
	return New(Deps{
		FS: disk, Objects: objects, Catalog: rows, Log: slog.New(slog.DiscardHandler),
		Clock: now,
		Doubt: func(context.Context) (string, error) { return strings.Repeat("doubt", count(*doubt)), nil },
	})
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// powerActs are what sequences are made of.
var powerActs = []func(*power) error{
	func(p *power) error { return p.put("one", true) },
	func(p *power) error { return p.put("two", true) },
	func(p *power) error { return p.put("two", false) }, // and its process died before it was needed
	func(p *power) error { return p.release("one") },
	func(p *power) error { return p.leak("two") },
	func(p *power) error { p.doubt = false; return p.run() },
	func(p *power) error { p.doubt = true; return p.run() },
}

func (p *power) put(content string, needed bool) error {
	o, err := p.Objects.Stage(context.Background(), strings.NewReader(content), nil)
	if err != nil {
		return err
	}
	defer p.Objects.Unpin(o.Hash)
	if !needed {
		return nil
	}
	err = p.rows.Update(func(tx *catalog.Tx) error {
		return tx.AddBlobRef(catalog.BlobRef{Tessera: tesseraOf(content), Memory: o.Hash, Hash: o.Hash, Size: o.Size})
	})
	p.needs[content] = err == nil
	return err
}

func tesseraOf(content string) (id sdk.TesseraID) {
	copy(id[:], content)
	return id
}

func (p *power) release(content string) error {
	if err := p.leak(content); err != nil {
		return err
	}
	_, err := p.rows.Collect(context.Background(), p.Objects)
	return err
}

// leak releases a content and dies before its file goes.
func (p *power) leak(content string) error {
	p.needs[content] = false
	return p.rows.Update(func(tx *catalog.Tx) error {
		_, _, err := tx.DropBlobRefs(tesseraOf(content), 10)
		return err
	})
}

func (p *power) run() error {
	_, err := p.Run(context.Background(), Options{Grace: -1})
	return err
}

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

// check opens what is left and sweeps it: what is needed is there before and after, and nothing else
// after.
func (p *power) check(left *crashfs.FS) error {
	rows, err := p.rows.Fork()
	if err != nil {
		return err
	}
	sure := false
	s, err := openPower(left, rows, &sure)
	if err != nil {
		return err
	}
	for range 2 {
		for content, needed := range p.needs {
			if !needed {
				continue
			}
			r, err := s.Objects.Open(digest.Of([]byte(content)), int64(len(content)))
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
		}
		if _, err := s.Run(context.Background(), Options{Grace: -1}); err != nil {
			return err
		}
	}
	for _, name := range left.Files() {
		if strings.HasPrefix(name, "objects/") && !p.isNeeded(name) {
			return fmt.Errorf("%s is left after a sweep", name)
		}
	}
	return nil
}

func (p *power) isNeeded(name string) bool {
	for content, needed := range p.needs {
		if needed && cas.Path(digest.Of([]byte(content))) == name {
			return true
		}
	}
	return false
}

// TestPowerLoss does every sequence of two acts and interrupts the last one at each of its steps.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed, cases := suite.Seed(t), 0
	for round := uint64(0); cases < powerSize.Cases(); round++ {
		for a := range powerActs {
			for b := range powerActs {
				cases += interrupt(t, seed+round, []int{a, b})
			}
		}
	}
	powerSize.Executed(t, cases, "interruptions of a store that is swept")
}

func newPower(t *testing.T, seed uint64) *power {
	t.Helper()
	rows, err := catalog.OpenMemory(catalog.Options{Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	must(t, err)
	p := &power{disk: crashfs.New(crashfs.Options{}), rows: rows, needs: map[string]bool{}, rnd: rand.New(rand.NewPCG(seed, 0))}
	p.Service, err = openPower(p.disk, rows, &p.doubt)
	must(t, err)
	return p
}

func interrupt(t *testing.T, seed uint64, acts []int) int {
	t.Helper()
	p := newPower(t, seed)
	var err error
	p.disk.Watch(func(m *crashfs.Moment) { p.look(m.Call+" "+m.Name, m.Aftermath) })
	for i, act := range acts {
		p.last = i == len(acts)-1
		if err == nil {
			err = powerActs[act](p)
		}
	}
	p.look("the end", p.disk.Aftermath)
	if err = errors.Join(err, p.err); err != nil {
		t.Fatalf("acts %v: %v", acts, err)
	}
	return p.cases
}

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultSweep

// TestEveryCallFails lets every single call of a sweep fail once with each error of a disk; of those that
// list one of its many folders, each with one of the errors. What is needed is there after that and after the
// power is lost, and the next sweep ends the work.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	failures, cases := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}, 0
	for _, acts := range [][]int{{1, 2, 5}, {1, 2, 6}, {0, 4, 5}} {
		for at, failed := 1, true; failed; at++ {
			var call string
			for i := range failures {
				call = callFails(t, acts, at, failures[(at+i)%len(failures)])
				if failed = call != ""; !failed {
					break
				}
				cases++
				if strings.HasPrefix(call, listing) {
					break
				}
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of a sweep")
}

// listing is how calls begin that list a folder.
const listing = "read folder "

// callFails lets one call of the last act fail, and names it; "" where there is none.
func callFails(t *testing.T, acts []int, at int, failure error) string {
	t.Helper()
	p := newPower(t, 1)
	last := len(acts) - 1
	for _, act := range acts[:last] {
		must(t, powerActs[act](p))
	}
	p.disk.FailAt(at, failure)
	err := powerActs[acts[last]](p)
	call := p.disk.Failed()
	p.disk.FailAt(0, nil)
	if call == "" {
		must(t, err)
		return ""
	}
	if err != nil && !errors.Is(err, failure) {
		t.Fatalf("acts %v, %s fails: %v", acts, call, err)
	}
	for way, left := range p.disk.Aftermath(p.rnd) {
		if strings.HasPrefix(call, listing) && at%64 > 0 {
			break // the disk is as it was
		}
		if err := p.check(left); err != nil {
			t.Fatalf("acts %v, %s fails with %v, then (way %d): %v", acts, call, failure, way, err)
		}
	}
	return call
}
