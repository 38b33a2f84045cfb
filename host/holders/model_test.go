package holders_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// sizeModel is how many steps the model check of the ledger takes (G20).
var sizeModel = suite.ModelBooks

// The network of the model check: some owners have two nodes.
const (
	modelNodes    = 9
	modelOwners   = 6
	modelTesseras = 12
	modelTotal    = 5 // fragments of a tessera
)

// party is one node with books of its own.
type party struct {
	*holders.Book
	catalog *catalog.Catalog
	contact identity.Contact
	owner   sdk.OwnerKey
	taken   []wire.Receipt // that it was given, to be replayed
}

func (p *party) Append(byte, []byte) error { return nil }

// world is the network: tessera i belongs to the owner of node i modulo modelOwners.
type world struct {
	t       *testing.T
	random  *rand.Rand
	parties []*party
	clock   time.Time
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 20)), clock: time.Unix(1_000_000, 0)}
	for i := range modelNodes {
		c, err := catalog.OpenMemory(catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		p := &party{catalog: c, owner: sdk.OwnerKey{byte(i%modelOwners) + 1}, contact: identity.Contact{
			Key: sdk.NodeKey{byte(i) + 1}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4433),
		}}
		p.Book = holders.New(c, p, p.owner, holders.Config{Replicas: 1}, func() time.Time { return w.clock })
		w.parties = append(w.parties, p)
		err = c.Update(func(tx *catalog.Tx) error {
			for k := range modelTesseras {
				if err := tx.PutPlan(plan(k, p.owner)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// plan is the row of tessera k in the books of an owner's node.
func plan(k int, of sdk.OwnerKey) catalog.PlanRow {
	owner := sdk.OwnerKey{byte(k%modelOwners) + 1}
	return catalog.PlanRow{
		Tessera: sdk.TesseraID{byte(k) + 1}, Owner: owner, Data: 3, Parity: 2, Copies: 1, ShardSize: int64(100 + k), Own: owner == of,
	}
}

// step does one thing that can happen.
func (w *world) step() error {
	w.clock = w.clock.Add(time.Second)
	k := w.random.IntN(modelTesseras)
	from := w.parties[k%modelOwners] // the node that publishes k
	to := w.parties[w.random.IntN(modelNodes)]
	index := w.random.IntN(modelTotal)
	switch w.random.IntN(10) {
	case 0, 1, 2, 3:
		return w.push(from, to, k, index, w.random.IntN(5) > 0)
	case 4:
		return w.replay(from)
	case 5:
		return w.lose(to, k, index)
	case 6, 7:
		return w.attest(from, to)
	case 8:
		return from.Silent(to.contact.Key, []sdk.TesseraID{plan(k, from.owner).Tessera})
	}
	return w.forget(from, to, k)
}

// push stores a fragment; its receipt may get lost on the way back.
func (w *world) push(from, to *party, k, index int, arrives bool) error {
	if from == to {
		return nil
	}
	p := plan(k, to.owner)
	err := to.catalog.Update(func(tx *catalog.Tx) error {
		added, err := tx.AddFragment(catalog.FragmentRef{
			Tessera: p.Tessera, Index: index, Hash: digest.Hash{byte(k), byte(index)}, Size: p.ShardSize, Stored: w.clock,
		})
		if err != nil || !added {
			return err
		}
		return ledger.Kept(tx, to.owner, p.Owner, p.ShardSize)
	})
	if err != nil || !arrives {
		return err
	}
	r := wire.Receipt{
		Tessera: p.Tessera, Owner: p.Owner, Index: uint32(index), Size: uint64(p.ShardSize),
		Holder: to.contact.Key, HolderOwner: to.owner, Sender: from.contact.Key, Time: w.clock,
	}
	if len(from.taken) < 100 {
		from.taken = append(from.taken, r)
	}
	return from.Acknowledge(to.contact, r)
}

// replay takes a receipt into the books once more.
func (w *world) replay(from *party) error {
	if len(from.taken) == 0 {
		return nil
	}
	r := from.taken[w.random.IntN(len(from.taken))]
	for _, p := range w.parties {
		if p.contact.Key == r.Holder {
			return from.Acknowledge(p.contact, r)
		}
	}
	return nil
}

// lose takes a fragment from a disk.
func (w *world) lose(at *party, k, index int) error {
	p := plan(k, at.owner)
	return at.catalog.Update(func(tx *catalog.Tx) error {
		dropped, err := tx.DropFragment(p.Tessera, index)
		if errors.Is(err, catalog.ErrNotFound) || err == nil && !dropped {
			return nil
		}
		if err != nil {
			return err
		}
		return ledger.Released(tx, at.owner, p.Owner, p.ShardSize)
	})
}

// attest asks a node about everything of an owner's, as a maintenance round does.
func (w *world) attest(from, to *party) error {
	if from == to {
		return nil
	}
	var said []holders.Statement
	err := to.catalog.View(func(tx *catalog.Tx) error {
		for k := range modelTesseras {
			p := plan(k, from.owner)
			if !p.Own || w.parties[k%modelOwners] != from {
				continue
			}
			s := holders.Statement{Tessera: p.Tessera, Owner: p.Owner, ShardSize: p.ShardSize}
			for f, err := range tx.Fragments(p.Tessera) {
				if err != nil {
					return err
				}
				s.Fragments = append(s.Fragments, f.Index)
			}
			said = append(said, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return from.Attested(to.contact, to.owner, said)
}

// forget deletes a tessera at one holder.
func (w *world) forget(from, at *party, k int) error {
	if from == at {
		return nil
	}
	for index := range modelTotal {
		if err := w.lose(at, k, index); err != nil {
			return err
		}
	}
	return from.Forgotten(plan(k, from.owner).Tessera, at.contact.Key)
}

// settle lets everyone ask everyone, then holds all books against the facts and against each other.
func (w *world) settle() error {
	for _, from := range w.parties {
		for _, to := range w.parties {
			if err := w.attest(from, to); err != nil {
				return err
			}
		}
	}
	for _, p := range w.parties {
		err := p.catalog.View(func(tx *catalog.Tx) error {
			wrong, err := ledger.Mismatches(tx, p.owner)
			if err == nil && len(wrong) > 0 {
				err = fmt.Errorf("the books of %s do not follow from the facts: %+v", p.contact.Key.Short(), wrong)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, a := range w.parties[:modelOwners] { // who publishes
		for _, b := range w.parties {
			given, err1 := a.account(b)
			kept, err2 := b.account(a)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if given.Given != kept.Kept {
				return fmt.Errorf("%s counts on %d bytes at %s, which keeps %d", a.contact.Key.Short(), given.Given, b.contact.Key.Short(), kept.Kept)
			}
		}
	}
	return nil
}

func (p *party) account(with *party) (a ledger.Account, err error) {
	err = p.catalog.View(func(tx *catalog.Tx) (err error) {
		a, err = ledger.AccountOf(tx, p.owner, with.contact.Key, with.owner)
		return err
	})
	return a, err
}

// TestBooksOfAllAgree is goal G20: whatever happens, once everyone has asked everyone both sides of
// each account agree, and each follows from the fragments.
func TestBooksOfAllAgree(t *testing.T) {
	w := newWorld(t, suite.Seed(t))
	steps := sizeModel.Cases()
	for i := range steps {
		if err := w.step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if i%2000 == 1999 || i == steps-1 {
			if err := w.settle(); err != nil {
				t.Fatalf("after step %d: %v", i, err)
			}
		}
	}
	sizeModel.Executed(t, steps, "steps of the ledger's model (G20)")
}
