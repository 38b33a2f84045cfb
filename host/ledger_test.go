package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// receipts lists the receipts of one kind in a node's journal, each verified.
func receipts(t *testing.T, m *member, kind byte) (out []wire.Receipt) {
	t.Helper()
	for record, err := range m.Journal().Records() {
		if err != nil {
			t.Fatal(err)
		}
		if record.Kind != kind {
			continue
		}
		var ack wire.ReplicateAck
		if err := proto.Unmarshal(record.Payload, &ack); err != nil {
			t.Fatal(err)
		}
		r, err := wire.VerifyReceipt(&ack)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func (m *member) owner() sdk.OwnerKey {
	m.v.t.Helper()
	who, err := m.Identity(m.v.t.Context())
	if err != nil {
		m.v.t.Fatal(err)
	}
	return who.Owner
}

// account is what a node wrote down about another owner.
func (m *member) account(with sdk.OwnerKey) (row catalog.LedgerRow) {
	m.v.t.Helper()
	err := m.View(func(tx *catalog.Tx) (err error) {
		row, err = tx.Ledger(with)
		return err
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
	return row
}

// agrees checks that the books of the owner and of every holder say the same, and that both follow
// from the fragments that are there and from the receipts.
func agrees(t *testing.T, when string, owner *member, others []*member) {
	t.Helper()
	taken := receipts(t, owner, holders.RecordTaken)
	for _, m := range others {
		theirs, ours := m.account(owner.owner()), owner.account(m.owner())
		var kept uint64
		err := m.View(func(tx *catalog.Tx) error {
			for f, err := range tx.AllFragments(catalog.FragmentKey{}) {
				if err != nil {
					return err
				}
				kept += uint64(f.Size)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if theirs.StoredForThem != kept || ours.TheyStoreForUs != kept {
			t.Errorf("%s: a holder keeps %d bytes, says %d, and the owner counts %d", when, kept, theirs.StoredForThem, ours.TheyStoreForUs)
		}
		given := map[wire.Receipt]bool{}
		for _, r := range receipts(t, m, holders.RecordGiven) {
			given[r] = true
		}
		for _, r := range taken {
			if r.HolderOwner == m.owner() && !given[r] {
				t.Errorf("%s: the owner has a receipt for fragment %d that the holder did not give", when, r.Index)
			}
			delete(given, r)
		}
		if len(given) > 0 {
			t.Errorf("%s: %d receipts were given that the owner does not have", when, len(given))
		}
	}
}

func TestBothSidesKeepTheSameBooks(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	others := append([]*member(nil), v.nodes[:8]...)
	first, second := create(t, owner, folder(t, medium)), create(t, owner, folder(t, small))
	owner.publish(first.ID)
	owner.publish(second.ID)
	agrees(t, "after publish", owner, others)

	v.holdersOf(first.ID)[0].loses(first.ID)
	v.holdersOf(second.ID)[1].loses(second.ID)
	if report := owner.repair(sdk.TesseraID{}); report.Failed != 0 || report.Repaired == 0 {
		t.Errorf("repair %+v", report)
	}
	agrees(t, "after repair", owner, others)

	if _, err := owner.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	v.eventually("the holders to forget", func() bool { return v.placed(first.ID) == 0 })
	v.eventually("the owner to know", func() bool {
		return owner.has(func(tx *catalog.Tx) bool { _, err := tx.Plan(first.ID); return err != nil })
	})
	agrees(t, "after delete", owner, others)
	accounts, err := owner.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, a := range accounts {
		sum += a.Balance
	}
	if sum != 7*owner.shard(second.ID) {
		t.Errorf("the others' balance is %d, want that of seven copies of %d bytes", sum, owner.shard(second.ID))
	}
}

// shard is the size of each fragment of a tessera.
func (m *member) shard(id sdk.TesseraID) (size int64) {
	m.v.t.Helper()
	err := m.View(func(tx *catalog.Tx) error {
		p, err := tx.Plan(id)
		size = p.ShardSize
		return err
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
	return size
}

// loses takes what a node keeps of a tessera out of its index, as a disk that came back empty would.
func (m *member) loses(id sdk.TesseraID) (lost int) {
	m.v.t.Helper()
	refs := m.held(id)
	err := m.Update(func(tx *catalog.Tx) error {
		plan, err := tx.Plan(id)
		if err != nil {
			return err
		}
		for _, f := range refs {
			if _, err := tx.DropFragment(f.Tessera, f.Index); err != nil {
				return err
			}
			if _, err := tx.AddLedger(plan.Owner, -f.Size, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
	return len(refs)
}

// audit compares a node's books with its peers'.
func (m *member) audit() localapi.Audit {
	m.v.t.Helper()
	a, err := m.AuditLedger(m.v.t.Context())
	if err != nil {
		m.v.t.Fatal(err)
	}
	return a
}

// verdicts counts what an audit found out about peers.
func verdicts(a localapi.Audit) map[string]int {
	found := map[string]int{}
	for _, p := range a.Peers {
		found[p.Verdict]++
	}
	return found
}

func TestAnAuditFindsWhereTheBooksDiffer(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	for _, m := range v.nodes {
		if a := m.audit(); !a.Agree || a.Receipts.Bad != 0 {
			t.Errorf("after a publish: %+v", a)
		}
	}
	if a := owner.audit(); verdicts(a)[localapi.AuditAgrees] != 8 || a.Receipts.Taken != 24 {
		t.Errorf("the owner's books: %+v", a)
	}

	liar := v.holdersOf(made.ID)[0]
	liar.loses(made.ID)
	if a := owner.audit(); a.Agree || verdicts(a)[localapi.AuditLess] != 1 || verdicts(a)[localapi.AuditAgrees] != 7 {
		t.Errorf("one holder keeps less than its receipts say: %+v", a)
	}
	if a := liar.audit(); a.Agree || verdicts(a)[localapi.AuditLess] != 1 {
		t.Errorf("the holder that keeps less: %+v", a)
	}
	owner.repair(made.ID)
	dead := v.holdersOf(made.ID)[1]
	dead.stop()
	if a := owner.audit(); !a.Agree || a.Unreached != 1 || len(a.Wrong) != 0 {
		t.Errorf("after the repair, with one holder dead: %+v", a)
	}

	err := owner.Update(func(tx *catalog.Tx) error { _, err := tx.AddLedger(liar.owner(), 0, 1); return err })
	if err != nil {
		t.Fatal(err)
	}
	a := owner.audit()
	if a.Agree || len(a.Wrong) != 1 || a.Wrong[0].Owner != liar.owner() || a.Wrong[0].ThereWritten != a.Wrong[0].ThereFacts+1 {
		t.Errorf("a row that does not follow from the facts: %+v", a)
	}
}

// gains gives a node a copy of what another keeps, as a repair by somebody else would.
func (m *member) gains(from *member, f catalog.FragmentRef) {
	m.v.t.Helper()
	bytes, err := os.ReadFile(from.object(f.Hash))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.object(f.Hash)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(m.object(f.Hash), bytes, 0o600)
	}
	if err != nil {
		m.v.t.Fatal(err)
	}
	m.keeps(f, f.Size, func(tx *catalog.Tx) error { _, err := tx.AddFragment(f); return err })
}

// yields makes a node give up one fragment.
func (m *member) yields(f catalog.FragmentRef) {
	m.v.t.Helper()
	if err := m.Journal().Append(holders.RecordReleased, holders.ReleasedRecord(f.Tessera, f.Index)); err != nil {
		m.v.t.Fatal(err)
	}
	m.keeps(f, -f.Size, func(tx *catalog.Tx) error { _, err := tx.DropFragment(f.Tessera, f.Index); return err })
}

// keeps changes what a node keeps, and what it is owed for it.
func (m *member) keeps(f catalog.FragmentRef, change int64, how func(*catalog.Tx) error) {
	m.v.t.Helper()
	err := m.Update(func(tx *catalog.Tx) error {
		plan, err := tx.Plan(f.Tessera)
		if err != nil {
			return err
		}
		if _, err := tx.AddLedger(plan.Owner, change, 0); err != nil {
			return err
		}
		return how(tx)
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
}

// A holder that gives up what another has too is not accused for it, whether the owner knows of the other or
// not; one that gives up the only copy is.
func TestGivingUpASurplusIsNoDifferenceOfTheBooks(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	has := v.holdersOf(made.ID)
	for i, known := range []bool{true, false} {
		twice := has[i].held(made.ID)[0]
		has[i+2].gains(has[i], twice)
		if known {
			owner.repair(made.ID)
		}
		has[i].yields(twice)
		if a := owner.audit(); !a.Agree || verdicts(a)[localapi.AuditAgrees] != 8 {
			t.Errorf("after a surplus was given up, the other known: %v: %+v", known, a.Peers)
		}
		if a := has[i].audit(); !a.Agree {
			t.Errorf("and by the books of who gave it up: %+v", a.Peers)
		}
	}
	has[4].yields(has[4].held(made.ID)[0])
	for range 2 {
		if a := owner.audit(); a.Agree || verdicts(a)[localapi.AuditLess] != 1 {
			t.Errorf("after the only copy was given up: %+v", a.Peers)
		}
	}
}

// A holder that gives up a surplus tells the owner; where the owner could not be told, comparing the books does.
func TestTheOwnerHearsOfASurplusThatWasGivenUp(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	has := v.holdersOf(made.ID)
	for i, told := range []bool{true, false} {
		twice := has[i].held(made.ID)[0]
		has[i+2].gains(has[i], twice)
		owner.repair(made.ID)
		if told {
			if err := has[i].Yield(t.Context(), twice.Tessera, twice.Index); err != nil {
				t.Fatal(err)
			}
			if wrong := owner.credits(made.ID, has[i], twice.Index); wrong {
				t.Error("the owner still counts on what was given up")
			}
		} else {
			has[i].yields(twice)
		}
		if a := has[i].audit(); !a.Agree {
			t.Errorf("told at once: %v: by the books of who gave it up: %+v", told, a.Peers)
		}
		if a := owner.audit(); !a.Agree {
			t.Errorf("told at once: %v: by the owner's books: %+v", told, a.Peers)
		}
	}
	only := has[4].held(made.ID)[0]
	if err := has[4].Yield(t.Context(), only.Tessera, only.Index); err != nil {
		t.Fatal(err)
	}
	if a := has[4].audit(); a.Agree {
		t.Errorf("after the only copy was given up: %+v", a.Peers)
	}
}

// credits tells whether a node counts on a fragment at another.
func (m *member) credits(id sdk.TesseraID, holder *member, index int) (yes bool) {
	m.v.t.Helper()
	err := m.View(func(tx *catalog.Tx) error {
		h, err := tx.Holder(id, holder.Contact().Key)
		yes = slices.ContainsFunc(h.Fragments, func(f catalog.HeldFragment) bool { return f.Index == index })
		return err
	})
	if err != nil {
		m.v.t.Fatal(err)
	}
	return yes
}

// The receipts in the journal are held against the books of each side alone, also when the other is dead.
func TestCreditWithoutAReceiptIsFound(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 8)
	made := create(t, owner, folder(t, medium))
	owner.publish(made.ID)
	owner.round()
	has := v.holdersOf(made.ID)
	dead, loser := has[0], has[1]
	who, err := dead.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	deadID, deadOwner := who.Node, dead.owner()
	lost := loser.held(made.ID)
	has[2].yields(has[2].held(made.ID)[0])
	dead.stop()
	for _, m := range v.nodes {
		if m.stopped {
			continue
		}
		if a := m.audit(); len(a.Unvouched) != 0 || a.Receipts.Bad != 0 {
			t.Errorf("to begin with: %+v", a)
		}
	}

	var forged int // a number that the dead holder never had
	err = owner.Update(func(tx *catalog.Tx) error {
		for h, err := range tx.HoldersOf(made.ID) {
			if err != nil || h.Owner != deadOwner {
				continue
			}
			forged = h.Fragments[len(h.Fragments)-1].Index + 1
			h.Fragments = append(h.Fragments, catalog.HeldFragment{Index: forged, Acked: time.Now()})
			if _, err := tx.AddLedger(deadOwner, 0, lost[0].Size); err != nil {
				return err
			}
			return tx.PutHolder(h)
		}
		return catalog.ErrNotFound
	})
	if err != nil {
		t.Fatal(err)
	}
	want := localapi.Unvouched{Tessera: made.ID, Index: forged, Holder: deadID, Problem: localapi.UnvouchedCredit}
	if a := owner.audit(); a.Agree || len(a.Wrong) != 0 || !slices.Equal(a.Unvouched, []localapi.Unvouched{want}) {
		t.Errorf("the owner finds %+v, want %+v", a, want)
	}

	owner.stop()
	loser.loses(made.ID)
	a := loser.audit()
	if a.Agree || len(a.Wrong) != 0 || len(a.Unvouched) != len(lost) {
		t.Fatalf("the holder finds %+v, want the %d fragments that it lost", a, len(lost))
	}
	for i, u := range a.Unvouched {
		if u.Problem != localapi.UnvouchedKept || u.Tessera != made.ID || u.Index != lost[i].Index {
			t.Errorf("the holder finds %+v", u)
		}
	}
}
