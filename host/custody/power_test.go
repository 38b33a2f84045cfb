package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// The sizes of the suites of interrupted custody.
var (
	powerSize = suite.PowerCustody
	faultSize = suite.FaultCustody
)

// shelf gives custody the documents of a disk.
type shelf struct{ *sidecar.Shelf }

func (s shelf) read(t sdk.TesseraID, ext string) ([]byte, error) {
	b, err := s.Read(t, ext, 1<<20)
	if errors.Is(err, sidecar.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	return b, err
}

func (s shelf) Plan(t sdk.TesseraID) ([]byte, error)      { return s.read(t, sidecar.Plan) }
func (s shelf) Tombstone(t sdk.TesseraID) ([]byte, error) { return s.read(t, sidecar.Tombstone) }

func (s shelf) PutPlan(t sdk.TesseraID, b []byte) error { return s.Write(t, sidecar.Plan, b) }

func (s shelf) PutTombstone(t sdk.TesseraID, b []byte) error {
	return s.Write(t, sidecar.Tombstone, b)
}

func (s shelf) DropPlan(t sdk.TesseraID) error { return s.Remove(t, sidecar.Plan) }

// power is a custody on a disk whose power may go, and what its peer was told.
type power struct {
	t       *testing.T
	disk    *crashfs.FS
	room    *room
	journal *journal.Journal
	offer   *offer
	acked   map[int][]byte // receipts by index
	dying   bool           // the owner's deletion is under way, or done
	dead    bool           // it is done

	rnd   *rand.Rand
	last  bool
	cases int
	err   error
}

func newPower(t *testing.T, seed uint64, o *offer, self *identity.Identity) *power {
	t.Helper()
	rows, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	p := &power{t: t, disk: crashfs.New(crashfs.Options{}), offer: o, acked: map[int][]byte{}, rnd: rand.New(rand.NewPCG(seed, 0))}
	p.disk.Watch(func(m *crashfs.Moment) { p.look(m.Call+" "+m.Name, m.Aftermath) })
	p.room, p.journal, err = openOn(p.disk, rows, self)
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openOn opens a custody on a disk.
func openOn(disk *crashfs.FS, rows *catalog.Catalog, self *identity.Identity) (*room, *journal.Journal, error) {
	objects, err := cas.New(disk, cas.Config{})
	if err != nil {
		return nil, nil, err
	}
	documents, err := sidecar.Open(disk, sidecar.Plans)
	if err != nil {
		return nil, nil, err
	}
	log, err := journal.Open(disk, "journal", journal.Config{})
	if err != nil {
		return nil, nil, err
	}
	r := &room{objects: objects, catalog: rows, self: self}
	r.open(shelf{documents}, log)
	return r, log, nil
}

// powerActs are what peers ask for.
var powerActs = []func(*power) error{
	func(p *power) error { return p.push(0) },
	func(p *power) error { return p.push(3) },
	(*power).forget,
}

func (p *power) push(index int) error {
	ack, err := p.offer.push(p.t, p.room, index)
	var refusal *wire.Refusal
	if p.dead && errors.As(err, &refusal) && refusal.Code == wire.Code_DELETED {
		return nil
	}
	if err != nil {
		return err
	}
	p.acked[index], err = proto.Marshal(ack)
	return err
}

// forget deletes what is there on the owner's word.
func (p *power) forget() error {
	tomb, err := tessera.SignTombstone(p.offer.plan.Tessera, time.Unix(3, 0).UTC(), p.offer.who.Owner)
	if err != nil || len(p.acked) == 0 || p.dead {
		return err
	}
	p.dying = true
	if _, err = p.room.Forget(context.Background(), tomb.Bytes()); err == nil {
		p.dead = true
	}
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

// check opens what is left: every fragment a receipt was given for is served, its receipt is in the
// journal, the ledger says what is there, and a deletion that was acknowledged stays.
func (p *power) check(left *crashfs.FS) error {
	rows, err := p.room.catalog.Fork()
	if err != nil {
		return err
	}
	r, log, err := openOn(left, rows, p.room.self)
	if err != nil {
		return err
	}
	kept := uint64(0)
	for i, want := range p.offer.shards {
		got, err := served(r, p.offer, i)
		switch {
		case err == nil && !bytes.Equal(got, want):
			return fmt.Errorf("fragment %d is served as %d other bytes", i, len(got))
		case err == nil && p.dead:
			return fmt.Errorf("fragment %d is served after it was deleted", i)
		case err != nil && p.acked[i] != nil && !p.dying:
			return fmt.Errorf("fragment %d was acknowledged: %w", i, err)
		case err == nil:
			kept += uint64(p.offer.plan.ShardSize())
		}
	}
	if row := r.ledger(p.t, p.offer); row.StoredForThem != kept {
		return fmt.Errorf("the ledger says %d bytes, %d are here", row.StoredForThem, kept)
	}
	return p.checkPapers(r, log)
}

func (p *power) checkPapers(r *room, log *journal.Journal) error {
	var receipts [][]byte
	for record, err := range log.Records() {
		if err != nil {
			return err
		}
		if record.Kind == holders.RecordGiven {
			receipts = append(receipts, record.Payload)
		}
	}
	for i, receipt := range p.acked {
		if !slices.ContainsFunc(receipts, func(b []byte) bool { return bytes.Equal(b, receipt) }) {
			return fmt.Errorf("the receipt of fragment %d is not in the journal", i)
		}
	}
	answer, err := r.Plan(p.offer.plan.Tessera)
	switch {
	case p.dead && answer.GetTombstone() == nil:
		return fmt.Errorf("the tombstone is gone: %w", err)
	case len(p.acked) > 0 && !p.dying && !bytes.Equal(answer.GetPlan(), p.offer.plan.Bytes()):
		return fmt.Errorf("the plan is gone: %w", err)
	}
	return nil
}

// served is a fragment as a peer gets it.
func served(r *room, o *offer, index int) ([]byte, error) {
	id := o.plan.ID(index)
	_, body, err := r.Fragment(&wire.FetchFragment{Tessera: id.Tessera[:], Index: uint32(index), Checksum: id.Checksum[:]})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// TestPowerLoss takes and deletes fragments in every order of three acts and interrupts each at every
// step.
func TestPowerLoss(t *testing.T) {
	seed, cases, o := suite.Seed(t), 0, newOffer(t)
	self, err := identity.Generate(0)
	must(t, err)
	for round := uint64(0); cases < powerSize.Cases(); round++ {
		for a := range powerActs {
			for b := range powerActs {
				for c := range powerActs {
					p := newPower(t, seed+round, o, self)
					err := p.run([]int{a, b, c})
					if err = errors.Join(err, p.err); err != nil {
						t.Fatalf("acts %d %d %d: %v", a, b, c, err)
					}
					cases += p.cases
				}
			}
		}
	}
	powerSize.Executed(t, cases, "interruptions of custody")
}

func (p *power) run(acts []int) error {
	for i, act := range acts {
		p.last = i == len(acts)-1
		if err := powerActs[act](p); err != nil {
			return err
		}
	}
	p.look("the end", p.disk.Aftermath)
	return nil
}

// TestEveryCallFailsOnce lets every single call while a fragment is taken, taken again or deleted fail
// with each error of a disk: a peer gets a refusal with a code, and what was acknowledged stays.
func TestEveryCallFailsOnce(t *testing.T) {
	cases, o := 0, newOffer(t)
	self, err := identity.Generate(0)
	must(t, err)
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for _, acts := range [][]int{{0}, {0, 1}, {1, 1}, {0, 1, 2}} {
			for at, failed := 1, true; failed; at++ {
				if failed = callFails(t, newPower(t, 1, o, self), acts, at, failure); failed {
					cases++
				}
			}
		}
	}
	faultSize.Executed(t, cases, "failed calls of custody")
}

// callFails lets one call of the last act fail.
func callFails(t *testing.T, p *power, acts []int, at int, failure error) (failed bool) {
	t.Helper()
	for _, act := range acts[:len(acts)-1] {
		must(t, powerActs[act](p))
	}
	p.disk.FailAt(at, failure)
	act := acts[len(acts)-1]
	err := powerActs[act](p)
	call := p.disk.Failed()
	p.disk.FailAt(0, nil)
	if call == "" {
		must(t, err)
		return false
	}
	if refusal := new(wire.Refusal); err != nil && !errors.As(err, &refusal) && !errors.Is(err, failure) {
		t.Fatalf("acts %v, %s fails: %v", acts, call, err)
	}
	for way, left := range p.disk.Aftermath(p.rnd) {
		if err := p.check(left); err != nil {
			t.Fatalf("acts %v, %s fails with %v, then (way %d): %v", acts, call, failure, way, err)
		}
	}
	if act < 2 { // the peer tries again
		if err := powerActs[act](p); err != nil && call != "sync journal/00000001.log" {
			t.Fatalf("acts %v, %s failed with %v, tried again: %v", acts, call, failure, err)
		}
	}
	return true
}
