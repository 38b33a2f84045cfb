package holders_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// sizeModel is how many steps the model check of the ledger takes (G20).
var sizeModel = suite.ModelBooks

// The network of the model check: some owners have two nodes. The first modelOwners nodes publish and stay; of
// the others some come and go.
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
	vouched *holders.Vouched

	given  map[string]bool              // receipts it gave since the last settlement, as they travel
	taken  []string                     // that it was given since then
	replay []wire.Receipt               // some of them
	lost   map[catalog.FragmentKey]bool // what its disk lost, without a word
}

// Append implements holders.Journal.
func (p *party) Append(kind byte, record []byte) error {
	switch kind {
	case holders.RecordGiven:
		p.given[string(record)] = true
	case holders.RecordTaken:
		p.taken = append(p.taken, string(record))
	}
	return p.vouched.Add(kind, record)
}

// world is the network: tessera i belongs to the owner of node i modulo modelOwners.
type world struct {
	t       *testing.T
	random  *rand.Rand
	parties []*party
	met     map[sdk.NodeKey]*party // whoever was a node, by every key it had
	gone    []sdk.NodeKey          // keys that nobody has any more
	clock   time.Time
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 20)), clock: time.Unix(1_000_000, 0), met: map[sdk.NodeKey]*party{}}
	w.parties = make([]*party, modelNodes)
	t.Cleanup(func() {
		for _, p := range w.parties {
			_ = p.catalog.Close()
		}
	})
	for i := range modelNodes {
		if err := w.join(i, sdk.OwnerKey{byte(i%modelOwners) + 1}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// join seats a node that nobody knows, with an empty disk.
func (w *world) join(seat int, owner sdk.OwnerKey) error {
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		return err
	}
	p := &party{catalog: c, owner: owner, vouched: holders.NewVouched(), given: map[string]bool{}, lost: map[catalog.FragmentKey]bool{}}
	p.Book = holders.New(c, p, owner, holders.Config{Replicas: 1, Proofs: true}, func() time.Time { return w.clock })
	w.parties[seat] = p
	w.name(p, seat)
	return c.Update(func(tx *catalog.Tx) error {
		for k := range modelTesseras {
			if err := tx.PutPlan(plan(k, owner)); err != nil {
				return err
			}
		}
		return nil
	})
}

// name gives a node a key that was never seen.
func (w *world) name(p *party, seat int) {
	if p.contact.Key != (sdk.NodeKey{}) {
		w.gone = append(w.gone, p.contact.Key)
	}
	p.contact.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(seat)}), 4433)
	binary.BigEndian.PutUint64(p.contact.Key[:], uint64(len(w.met)+1))
	w.met[p.contact.Key] = p
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
	w.clock = w.clock.Add(time.Duration(w.random.IntN(60)) * time.Second)
	k := w.random.IntN(modelTesseras)
	from := w.parties[k%modelOwners] // the node that publishes k
	to := w.parties[w.random.IntN(modelNodes)]
	index := w.random.IntN(modelTotal)
	switch n := w.random.IntN(400); {
	case n < 110:
		return w.push(from, to, k, index, w.random.IntN(5) > 0)
	case n < 130: // a holder repairs
		return w.push(w.parties[w.random.IntN(modelNodes)], to, k, index, w.random.IntN(5) > 0)
	case n < 160:
		return w.again(from)
	case n < 200:
		return w.lose(to, k, index)
	case n < 220:
		return w.yield(to, k, index)
	case n < 280:
		return w.attest(from, to)
	case n < 320:
		return w.audit(from, to)
	case n < 330:
		return w.lapse(from)
	case n < 360:
		return from.Silent(to.contact.Key, time.Time{}, []sdk.TesseraID{plan(k, from.owner).Tessera})
	case n < 370:
		return w.wash(k, index)
	case n < 371:
		return w.churn(modelOwners + w.random.IntN(modelNodes-modelOwners))
	}
	return w.forget(from, to, k)
}

// push stores a fragment, charged to its plan's owner whoever brings it; its receipt may get lost on the way
// back.
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
	if err != nil {
		return err
	}
	r := wire.Receipt{
		Tessera: p.Tessera, Owner: p.Owner, Index: uint32(index), Size: uint64(p.ShardSize),
		Holder: to.contact.Key, HolderOwner: to.owner, Sender: from.contact.Key, Time: w.clock,
	}
	record, err := proto.Marshal(r.Message())
	if err == nil {
		err = to.Append(holders.RecordGiven, record)
	}
	delete(to.lost, catalog.FragmentKey{Tessera: p.Tessera, Index: index})
	if err != nil || !arrives {
		return err
	}
	if len(from.replay) < 100 {
		from.replay = append(from.replay, r)
	}
	return from.Acknowledge(to.contact, r)
}

// again takes a receipt into the books once more.
func (w *world) again(from *party) error {
	if len(from.replay) == 0 {
		return nil
	}
	r := from.replay[w.random.IntN(len(from.replay))]
	return from.Acknowledge(identity.Contact{Key: r.Holder, Addr: w.met[r.Holder].contact.Addr}, r)
}

// lose takes a fragment from a disk.
func (w *world) lose(at *party, k, index int) error {
	p := plan(k, at.owner)
	at.lost[catalog.FragmentKey{Tessera: p.Tessera, Index: index}] = true
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

// yield gives a fragment up.
func (w *world) yield(at *party, k, index int) error {
	t := plan(k, at.owner).Tessera
	if err := at.Append(holders.RecordReleased, holders.ReleasedRecord(t, index)); err != nil {
		return err
	}
	err := w.lose(at, k, index)
	delete(at.lost, catalog.FragmentKey{Tessera: t, Index: index})
	return err
}

// has lists what a node keeps of a tessera.
func (p *party) has(t sdk.TesseraID) (indices []int, err error) {
	err = p.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(t) {
			if err != nil {
				return err
			}
			indices = append(indices, f.Index)
		}
		return nil
	})
	return indices, err
}

// attest asks a node about everything of an owner's, as a maintenance round does.
func (w *world) attest(from, to *party) error {
	if from == to {
		return nil
	}
	var said []holders.Statement
	for k := range modelTesseras {
		p := plan(k, from.owner)
		if !p.Own {
			continue
		}
		has, err := to.has(p.Tessera)
		if err != nil {
			return err
		}
		said = append(said, holders.Statement{Tessera: p.Tessera, Owner: p.Owner, ShardSize: p.ShardSize, Fragments: has})
	}
	return from.Attested(to.contact, to.owner, said)
}

// audit asks for proofs of some of what a node is down with; it may answer the truth, or not at all. Who
// says that a fragment is gone attests without it first.
func (w *world) audit(from, to *party) error {
	if from == to {
		return nil
	}
	claims, err := from.claims(to)
	if err != nil {
		return err
	}
	w.random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
	results, gone := claims[:min(3, len(claims))], false
	for i := range results {
		r := &results[i]
		has, err := to.has(r.Claim.Tessera)
		if err != nil {
			return err
		}
		here := slices.Contains(has, r.Claim.Index)
		r.Outcome = []proof.Outcome{proof.Proven, proof.Proven, proof.Late, proof.Offline, proof.Busy}[w.random.IntN(5)]
		if r.Outcome == proof.Proven && !here {
			r.Outcome = []proof.Outcome{proof.Failed, proof.Gone}[w.random.IntN(2)]
		}
		gone = gone || r.Outcome == proof.Gone
	}
	if gone {
		if err := w.attest(from, to); err != nil {
			return err
		}
	}
	if w.random.IntN(4) == 0 {
		return from.Challenged(to.contact.Key, results)
	}
	return from.Audited(to.contact.Key, results)
}

// claims lists what a node is down with.
func (p *party) claims(holder *party) (out []holders.Result, err error) {
	err = p.catalog.View(func(tx *catalog.Tx) error {
		for t, err := range tx.HeldBy(holder.contact.Key) {
			if err != nil {
				return err
			}
			h, err := tx.Holder(t, holder.contact.Key)
			if err != nil {
				return err
			}
			plan, err := tx.Plan(t)
			if err != nil {
				return err
			}
			for _, f := range h.Fragments {
				out = append(out, holders.Result{Owner: plan.Owner, Claim: proof.Claim{Tessera: t, Index: f.Index, Size: plan.ShardSize}})
			}
		}
		return nil
	})
	return out, err
}

// lapse ends the credit of what has not counted for too long, a while later, and gives back what counts.
func (w *world) lapse(p *party) error {
	if w.random.IntN(10) == 0 {
		w.clock = w.clock.Add(30 * time.Hour)
	}
	for k := range modelTesseras {
		row := plan(k, p.owner)
		if !row.Own {
			continue
		}
		records, err := p.Records(row.Tessera)
		if err == nil {
			err = p.Settle(p.Unsettled(records))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wash lets two nodes of one owner, or two accomplices, take each other's fragments for credit, and drop them.
func (w *world) wash(k, index int) error {
	a := w.parties[k%modelOwners]
	b := w.parties[(k+modelOwners)%modelNodes]
	back := (k + modelOwners) % modelNodes % modelOwners // a tessera of b's owner
	return errors.Join(
		w.push(a, b, k, index, true), w.again(a), w.push(b, a, back, index, true), w.again(b),
		w.lose(b, k, index), w.lose(a, back, index),
	)
}

// churn lets a node come back under another name: with its disk, or as somebody new who has nothing.
func (w *world) churn(seat int) error {
	p := w.parties[seat]
	if w.random.IntN(2) == 0 {
		w.name(p, seat)
		return nil
	}
	w.gone = append(w.gone, p.contact.Key)
	if err := p.catalog.Close(); err != nil {
		return err
	}
	owner := sdk.OwnerKey{255}
	binary.BigEndian.PutUint64(owner[1:], uint64(len(w.met)))
	return w.join(seat, owner)
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

// settle lets time pass and everyone ask everyone, for proofs of everything too, then holds all books against
// the facts, the receipts and each other.
func (w *world) settle() error {
	w.clock = w.clock.Add(3 * holders.ProofPeriod)
	for _, from := range w.parties {
		for _, key := range w.gone {
			if err := w.bury(from, key); err != nil {
				return err
			}
		}
		for _, to := range w.parties {
			if err := w.proveAll(from, to); err != nil {
				return err
			}
		}
		if err := w.lapse(from); err != nil {
			return err
		}
	}
	w.gone = nil
	for _, p := range w.parties {
		if err := errors.Join(w.follows(p), w.receipts(p), w.owed(p)); err != nil {
			return fmt.Errorf("%s: %w", p.contact.Key.Short(), err)
		}
	}
	for _, p := range w.parties {
		clear(p.given)
		p.taken, p.replay = nil, nil
	}
	return nil
}

// bury finds nobody under a key that is gone, which ends its credit, and gives it up.
func (w *world) bury(from *party, key sdk.NodeKey) error {
	var of []sdk.TesseraID
	for k := range modelTesseras {
		of = append(of, plan(k, from.owner).Tessera)
	}
	w.clock = w.clock.Add(-2 * holders.ProofPeriod)
	err := from.Silent(key, time.Time{}, of)
	w.clock = w.clock.Add(2 * holders.ProofPeriod)
	if err := errors.Join(err, w.lapse(from)); err != nil {
		return err
	}
	for _, t := range of {
		rows, err := from.Of(t)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(rows, func(h catalog.Holder) bool { return h.Key == key })
		if at < 0 {
			continue
		}
		if n := rows[at].Credited(); n != 0 && plan(int(t[0])-1, from.owner).Own {
			return fmt.Errorf("%d fragments of one who is gone give credit", n)
		}
		if err := from.Forgotten(t, key); err != nil {
			return err
		}
	}
	return nil
}

// proveAll is a round in which everything is asked for, and answered with the truth.
func (w *world) proveAll(from, to *party) error {
	if from == to {
		return nil
	}
	if err := w.attest(from, to); err != nil {
		return err
	}
	claims, err := from.claims(to)
	if err != nil {
		return err
	}
	for i := range claims {
		claims[i].Outcome = proof.Proven
	}
	return from.Audited(to.contact.Key, claims)
}

// follows holds the ledger of a node against what it keeps and what it is told.
func (w *world) follows(p *party) error {
	return p.catalog.View(func(tx *catalog.Tx) error {
		wrong, err := ledger.Mismatches(tx, p.owner)
		if err == nil && len(wrong) > 0 {
			err = fmt.Errorf("the books do not follow from the facts: %+v", wrong)
		}
		return err
	})
}

// receipts holds the receipts of a node against those of the other side, and against the index of both.
func (w *world) receipts(p *party) error {
	for _, record := range p.taken {
		r, err := holders.ParseReceipt([]byte(record))
		if err != nil {
			return err
		}
		by := w.met[r.Holder]
		if slices.Contains(w.parties, by) && !by.given[record] {
			return fmt.Errorf("it has a receipt for fragment %d of %s that the holder did not give", r.Index, r.Tessera.Short())
		}
	}
	return p.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.Holders() {
			if err != nil {
				return err
			}
			for _, f := range h.Fragments {
				if f.Credited() && !p.vouched.Credits(h.Tessera, h.Key, f.Index) {
					return fmt.Errorf("fragment %d of %s gives credit without a receipt or a proof", f.Index, h.Tessera.Short())
				}
			}
		}
		for k := range p.vouched.Given() {
			if _, err := tx.Fragment(k.Tessera, k.Index); err != nil && !p.lost[k] {
				return fmt.Errorf("fragment %d of %s, for which it gave a receipt: %w", k.Index, k.Tessera.Short(), err)
			}
		}
		return nil
	})
}

// owed holds what a node counts on at others against what these keep for it: in the account of the two, and
// as their owners' credit, to the byte.
func (w *world) owed(p *party) error {
	credit := map[sdk.OwnerKey]uint64{}
	for _, b := range w.parties {
		if b == p || b.owner == p.owner {
			continue
		}
		given, err1 := p.account(b)
		kept, err2 := b.account(p)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if given.Given != kept.Kept {
			return fmt.Errorf("it counts on %d bytes at %s, which keeps %d", given.Given, b.contact.Key.Short(), kept.Kept)
		}
		credit[b.owner] += uint64(kept.Kept)
	}
	return p.catalog.View(func(tx *catalog.Tx) error {
		for row, err := range tx.LedgerRows() {
			if err != nil {
				return err
			}
			if row.TheyStoreForUs != credit[row.Owner] {
				return fmt.Errorf("the owner %s has credit for %d bytes and keeps %d", row.Owner.Short(), row.TheyStoreForUs, credit[row.Owner])
			}
			delete(credit, row.Owner)
		}
		for owner, bytes := range credit {
			if bytes > 0 {
				return fmt.Errorf("the owner %s keeps %d bytes and has no credit", owner.Short(), bytes)
			}
		}
		return nil
	})
}

func (p *party) account(with *party) (a ledger.Account, err error) {
	err = p.catalog.View(func(tx *catalog.Tx) (err error) {
		a, err = ledger.AccountOf(tx, p.owner, with.contact.Key, with.owner)
		return err
	})
	return a, err
}

// TestBooksOfAllAgree is goal G20: whatever happens - lost and replayed receipts, proofs met, failed and left
// open, silence, custody, wash, new names and newcomers - once everyone has asked everyone both sides of each
// account agree, and each follows from the fragments and from the receipts.
func TestBooksOfAllAgree(t *testing.T) {
	w := newWorld(t, suite.Seed(t))
	steps := sizeModel.Cases()
	for i := range steps {
		if err := w.step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if i%10_000 == 9999 || i == steps-1 {
			if err := w.settle(); err != nil {
				t.Fatalf("after step %d: %v", i, err)
			}
		}
	}
	sizeModel.Executed(t, steps, "steps of the ledger's model (G20)")
}
