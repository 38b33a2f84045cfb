package holders_test

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

var (
	me    = sdk.OwnerKey{1}
	they  = sdk.OwnerKey{2}
	mine  = sdk.TesseraID{3}
	peer  = identity.Contact{Key: sdk.NodeKey{4}, Nonce: 5, Addr: netip.MustParseAddrPort("192.0.2.1:4433")}
	shape = health.Shape{Data: 2, Total: 3, Copies: 1}
)

const shard = 100

func TestMain(m *testing.M) {
	suite.CollectLess()
	os.Exit(m.Run())
}

type books struct {
	*holders.Book
	catalog *catalog.Catalog
	kept    int
	clock   time.Time
}

func (b *books) Append(kind byte, _ []byte) error {
	if kind == holders.RecordTaken {
		b.kept++
	}
	return nil
}

func open(t *testing.T) *books {
	t.Helper()
	c, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b := &books{catalog: c, clock: time.Unix(1_000_000, 0)}
	b.Book = holders.New(c, b, me, holders.Config{Replicas: 1}, func() time.Time { return b.clock })
	err = c.Update(func(tx *catalog.Tx) error {
		return tx.PutPlan(catalog.PlanRow{Tessera: mine, Owner: me, Data: 2, Parity: 1, Copies: 1, ShardSize: shard, Own: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *books) acknowledge(t *testing.T, index uint32) {
	t.Helper()
	err := b.Acknowledge(peer, wire.Receipt{Tessera: mine, Owner: me, Index: index, Size: shard, Holder: peer.Key, HolderOwner: they})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *books) attest(t *testing.T, fragments ...int) {
	t.Helper()
	err := b.Attested(peer, they, []holders.Statement{{Tessera: mine, Owner: me, ShardSize: shard, Fragments: fragments}})
	if err != nil {
		t.Fatal(err)
	}
}

// check compares what counts as held and what the ledger says they store for us.
func (b *books) check(t *testing.T, when string, held int, credit uint64) {
	t.Helper()
	r, err := b.Health(mine, shape)
	if err != nil {
		t.Fatal(err)
	}
	var row catalog.LedgerRow
	if err := b.catalog.View(func(tx *catalog.Tx) (err error) { row, err = tx.Ledger(they); return err }); err != nil {
		t.Fatal(err)
	}
	if r.Held != held || row.TheyStoreForUs != credit {
		t.Errorf("%s: %d held and %d bytes of credit, want %d and %d", when, r.Held, row.TheyStoreForUs, held, credit)
	}
}

func TestTheLifeOfAHolder(t *testing.T) {
	b := open(t)
	b.acknowledge(t, 2)
	b.acknowledge(t, 0)
	b.acknowledge(t, 0)
	b.check(t, "after two fragments, one acknowledged twice", 2, 2*shard)
	if b.kept != 3 {
		t.Errorf("%d receipts in the journal, want every one of the 3", b.kept)
	}

	if err := b.Silent(peer.Key, time.Time{}, []sdk.TesseraID{mine}); err != nil {
		t.Fatal(err)
	}
	b.check(t, "silent", 0, 2*shard)
	b.attest(t, 0, 2)
	b.check(t, "back again", 2, 2*shard)
	if rows, err := b.Of(mine); err != nil || len(rows) != 1 || rows[0].Flaps != 1 {
		t.Errorf("rows %+v, %v: want one that flapped once", rows, err)
	}

	b.attest(t, 0, 1, 2)
	b.check(t, "with a fragment we had forgotten", 3, 3*shard)
	b.attest(t, 1)
	b.check(t, "after it lost two", 1, shard)

	b.clock = b.clock.Add(25 * time.Hour)
	b.check(t, "when its word is too old", 0, shard)
	b.attest(t)
	b.check(t, "when it says it has nothing", 0, 0)
	if rows, err := b.Of(mine); err != nil || len(rows) != 0 {
		t.Errorf("rows %+v, %v", rows, err)
	}
}

func TestForgottenEndsTheCredit(t *testing.T) {
	b := open(t)
	b.acknowledge(t, 0)
	b.acknowledge(t, 1)
	for range 2 {
		if err := b.Forgotten(mine, peer.Key); err != nil {
			t.Fatal(err)
		}
	}
	b.check(t, "forgotten", 0, 0)
}

// TestWhatIsTakenWhileAHolderIsAskedStands: an answer may be older than a receipt that came before it is written
// down. What the holder does not name in its next answer it has lost.
func TestWhatIsTakenWhileAHolderIsAskedStands(t *testing.T) {
	b := open(t)
	answers := func(asked time.Time, fragments ...int) {
		t.Helper()
		err := b.Attested(peer, they, []holders.Statement{{Tessera: mine, Owner: me, ShardSize: shard, Fragments: fragments, Asked: asked}})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.acknowledge(t, 0)
	b.clock = b.clock.Add(time.Second)
	asked := b.clock
	b.clock = b.clock.Add(time.Second)
	b.acknowledge(t, 2)
	answers(asked)
	b.check(t, "after an answer older than the second receipt that names neither", 1, shard)
	answers(b.clock.Add(time.Millisecond))
	b.check(t, "after a later one that names nothing", 0, 0)

	b.acknowledge(t, 1)
	b.clock = b.clock.Add(-24 * time.Hour)
	answers(b.clock)
	b.check(t, "after the clock was set back", 0, 0)
}

// TestProvenIsKnownWithoutTheCatalog: by what the rounds of proofs say, and after a start by the rows.
func TestProvenIsKnownWithoutTheCatalog(t *testing.T) {
	b := open(t)
	b.acknowledge(t, 0)
	b.acknowledge(t, 1)
	audited := func(outcome proof.Outcome, index int) {
		t.Helper()
		r := holders.Result{Claim: proof.Claim{Tessera: mine, Index: index, Size: shard}, Owner: me, Outcome: outcome}
		if err := b.Audited(peer.Key, []holders.Result{r}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want bool) {
		t.Helper()
		anew := holders.New(b.catalog, b, me, holders.Config{Replicas: 1}, time.Now)
		if err := anew.LoadProofs(); err != nil {
			t.Fatal(err)
		}
		if b.Proven(mine, peer.Key) != want || anew.Proven(mine, peer.Key) != want {
			t.Errorf("%s: %v, and %v after a start, want %v", when, b.Proven(mine, peer.Key), anew.Proven(mine, peer.Key), want)
		}
	}
	check("acknowledged", false)
	audited(proof.Proven, 0)
	check("proven", true)
	audited(proof.Late, 1)
	check("another one late", true)
	audited(proof.Failed, 0)
	check("failed", false)
	audited(proof.Proven, 1)
	check("the other one proven", true)
	err := b.Attested(peer, they, []holders.Statement{{Tessera: mine, Owner: me, ShardSize: shard, Fragments: []int{0}}})
	if err != nil {
		t.Fatal(err)
	}
	check("given up", false)
	audited(proof.Proven, 0)
	check("proven again", true)
	if b.Proven(mine, sdk.NodeKey{9}) || b.Proven(sdk.TesseraID{9}, peer.Key) {
		t.Error("so is what was never asked")
	}
	b.attest(t)
	check("nothing left", false)
	b.acknowledge(t, 0)
	audited(proof.Proven, 0)
	if err := b.Forgotten(mine, peer.Key); err != nil {
		t.Fatal(err)
	}
	check("forgotten", false)
}

// TestAFloodOfClaimsDisplacesNobody: claims that nobody proved leave no room in a tessera's row; a receipt makes some.
func TestAFloodOfClaimsDisplacesNobody(t *testing.T) {
	b := open(t)
	for kind, fragments := range []int{catalog.MaxHeld, 1} { // the small ones fill what the large ones leave
		err := b.catalog.Update(func(tx *catalog.Tx) (err error) {
			for n := 0; err == nil; n++ {
				key := sdk.NodeKey{9, byte(kind), byte(n >> 8), byte(n)}
				err = tx.PutHolder(catalog.Holder{Tessera: mine, Key: key, Fragments: make([]catalog.HeldFragment, fragments)})
			}
			if errors.Is(err, catalog.ErrCrowded) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.attest(t, 0) // there is no room for one more claim, and that is no error
	b.check(t, "claimed", 0, 0)
	b.acknowledge(t, 1)
	b.check(t, "acknowledged", 1, shard)
	rows, err := b.Of(mine)
	if err != nil || len(rows) != 1 {
		t.Errorf("%d holders, %v", len(rows), err)
	}
}

// TestOthersProofsDoNotAnswerAnOpenChallenge: who leaves a challenge open does not pass with a round that was drawn
// of other claims, as that for what is kept for others is, but with the answer, or when it gives the fragment up.
func TestOthersProofsDoNotAnswerAnOpenChallenge(t *testing.T) {
	for _, gives := range []bool{false, true} {
		b := open(t)
		b.Book = holders.New(b.catalog, b, me, holders.Config{Replicas: 1, Proofs: true}, func() time.Time { return b.clock })
		err := b.catalog.Update(func(tx *catalog.Tx) error { return tx.PutTessera(catalog.Tessera{ID: mine}) })
		if err != nil {
			t.Fatal(err)
		}
		b.acknowledge(t, 0)
		b.acknowledge(t, 1)
		audited := func(outcome proof.Outcome, index int) catalog.Audit {
			t.Helper()
			b.clock = b.clock.Add(time.Hour)
			r := holders.Result{
				Claim: proof.Claim{Tessera: mine, Index: index, Size: shard}, Owner: me, Outcome: outcome, Nonce: [32]byte{byte(index)},
			}
			if err := b.Audited(peer.Key, []holders.Result{r}); err != nil {
				t.Fatal(err)
			}
			a, err := b.Audit(peer.Key)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		audited(proof.Late, 0)
		lapsed := audited(proof.Late, 0).Lapsed
		if a := audited(proof.Proven, 1); lapsed.IsZero() || !a.Lapsed.Equal(lapsed) || !a.Passed.IsZero() || a.Open == nil {
			t.Errorf("a clean round of others cleared what lapsed at %s: %+v", lapsed, a)
		}
		again := 0
		if gives {
			b.attest(t, 1)
			again = 1
		}
		if a := audited(proof.Proven, again); !a.Lapsed.IsZero() || a.Open != nil || a.Passed.IsZero() {
			t.Errorf("given up %v, and proven: %+v", gives, a)
		}
	}
}
