package repair_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/ledger"
	speaker "github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// answers makes a peer answer every challenge in one way.
func (w *ward) answers(n byte, p speaker.Proof, err error) *peer {
	at := w.peers[contact(n).Key]
	at.proves = func(proof.Claim) (speaker.Proof, error) { return p, err }
	return at
}

func (w *ward) health(t *testing.T, s *tale) health.Report {
	t.Helper()
	r, err := w.book.Health(s.plan.Tessera, health.Shape{Data: 4, Total: s.plan.Total(), Copies: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *ward) credit(t *testing.T, n byte) uint64 {
	t.Helper()
	var row catalog.LedgerRow
	err := w.catalog.View(func(tx *catalog.Tx) (err error) {
		row, err = tx.Ledger(sdk.OwnerKey(contact(n).Key))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return row.TheyStoreForUs
}

func (w *ward) audit(t *testing.T, n byte) catalog.Audit {
	t.Helper()
	a, err := w.book.Audit(contact(n).Key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// agrees holds the ledger against what is written down about holders.
func (w *ward) agrees(t *testing.T) {
	t.Helper()
	err := w.catalog.View(func(tx *catalog.Tx) error {
		wrong, err := ledger.Mismatches(tx, w.owner.Key())
		if len(wrong) > 0 {
			t.Errorf("the books do not follow from the facts: %+v", wrong)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsProvenCounts(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	if got := w.run(t); got.Healthy != 1 {
		t.Fatalf("%+v", got)
	}
	if r := w.health(t, s); r.Proven != 6 || r.Held != 6 {
		t.Errorf("%+v", r)
	}
	w.clock = w.clock.Add(25 * time.Hour) // beyond receipt and proof
	if r := w.health(t, s); r.Held != 0 || r.Status != health.Unrecoverable {
		t.Errorf("a day without a proof: %+v", r)
	}
	if got := w.run(t); got.Healthy != 1 || got.Rebuilt != 0 {
		t.Errorf("proven anew: %+v", got)
	}
}

func TestAHolderThatFailsIsReplaced(t *testing.T) {
	for name, err := range map[string]error{
		"a wrong answer":       proof.ErrWrong,
		"the bytes are lost":   wire.Refuse(wire.Code_DAMAGED, "gone"),
		"its index lost it":    wire.Refuse(wire.Code_NOT_FOUND, "not here"),
		"signed by nobody":     errors.Join(proof.ErrWrong, wire.ErrSignature),
		"the answer to others": errors.Join(proof.ErrWrong, wire.ErrMalformed),
	} {
		w := newWard(t)
		s := w.creates(t, 1)
		w.spread(t, s)
		w.answers(3, speaker.Proof{}, err)
		if got := w.run(t); got.Rebuilt != 2 || len(got.Failed) != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		if at, _ := w.holding(t, s, 9); !slices.Equal(at, []int{4, 5}) {
			t.Errorf("%s: the new holder has %v", name, at)
		}
		if c := w.credit(t, 3); c != 0 {
			t.Errorf("%s: it is credited with %d bytes", name, c)
		}
		if got := w.run(t); got.Healthy != 1 || got.Rebuilt != 0 { // and claims it again in every round
			t.Errorf("%s, in the next round: %+v", name, got)
		}
		if a := w.audit(t, 3); len(a.Evidence) == 0 || a.Asked == 0 {
			t.Errorf("%s: no evidence is kept: %+v", name, a)
		}
		w.peers[contact(3).Key].proves = nil // it got them back
		w.run(t)
		if r := w.health(t, s); r.Proven != 6 || w.credit(t, 3) == 0 {
			t.Errorf("%s, and proven again: %+v, credit %d", name, r, w.credit(t, 3))
		}
	}
}

// A refusal, a late answer and silence take nothing from a holder but that it is not proven: it is asked
// the same again, has one grace, and then only what it proves counts.
func TestWhatStaysOpenIsAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		p   speaker.Proof
		err error
	}{
		"busy":             {err: wire.Refuse(wire.Code_BUSY, "later")},
		"maintenance":      {err: wire.Refuse(wire.Code_MAINTENANCE, "disk")},
		"does not know it": {err: wire.Refuse(wire.Code_UNSUPPORTED, "what?")},
		"late":             {p: speaker.Proof{Took: time.Hour}},
		"no answer":        {err: quicnet.ErrSilent},
		"cut off":          {err: errors.New("the connection was reset")},
	} {
		w := newWard(t)
		s := w.creates(t, 1)
		w.spread(t, s)
		w.run(t) // passed once
		p := w.answers(3, c.p, c.err)
		p.challenged = nil
		for range 2 {
			if got := w.run(t); got.Healthy != 1 || got.Rebuilt != 0 {
				t.Fatalf("%s: %+v", name, got)
			}
		}
		if len(p.challenged) != 2 || p.challenged[0] != p.challenged[1] {
			t.Errorf("%s: asked %x, want the same challenge twice", name, p.challenged)
		}
		a := w.audit(t, 3)
		if a.Grace.IsZero() || a.Lapsed.IsZero() || !a.Failed.IsZero() || a.Open == nil {
			t.Errorf("%s: %+v", name, a)
		}
		if w.credit(t, 3) == 0 {
			t.Errorf("%s: its credit is gone", name)
		}
		w.clock = w.clock.Add(25 * time.Hour)
		if got := w.run(t); got.Rebuilt != 2 { // unproven for the whole period
			t.Errorf("%s for a day: %+v", name, got)
		}
		if w.credit(t, 3) == 0 {
			t.Errorf("%s for a day: its credit is gone", name)
		}
		w.clock = w.clock.Add(24 * time.Hour)
		w.run(t)
		if c := w.credit(t, 3); c != 0 || w.failed(t, 3) != 0 {
			t.Errorf("%s for two days: it is credited with %d bytes, and %d fragments are down as failed", name, c, w.failed(t, 3))
		}
		p.proves = nil
		w.run(t)
		if w.credit(t, 3) != 2*uint64(s.plan.ShardSize()) {
			t.Errorf("%s, and then proven: it is credited with %d bytes", name, w.credit(t, 3))
		}
		w.agrees(t)
		if a := w.audit(t, 3); !a.Lapsed.IsZero() || a.Open != nil || a.Passed.IsZero() {
			t.Errorf("%s, and then proven: %+v", name, a)
		}
	}
}

// No two challenges have one nonce, of one holder or of several, and in no two rounds: an answer that was
// given once proves nothing later. What a holder left open is asked again as it was, and only that.
func TestEveryChallengeIsFresh(t *testing.T) {
	w := newWard(t)
	for i := range byte(4) {
		w.spread(t, w.creates(t, i))
	}
	asked := map[[32]byte]int{}
	round := func() (n int) {
		for _, p := range w.peers {
			p.challenged = nil
		}
		w.run(t)
		for _, p := range w.peers {
			n += len(p.challenged)
			for _, nonce := range p.challenged {
				asked[nonce]++
			}
		}
		return n
	}
	total := 0
	for range 5 {
		total += round()
	}
	if len(asked) != total || total < 5*3*8 {
		t.Errorf("%d challenges had %d nonces", total, len(asked))
	}
	busy := w.answers(2, speaker.Proof{}, wire.Refuse(wire.Code_BUSY, "later"))
	total += round()
	if len(busy.challenged) != 1 {
		t.Fatalf("a busy holder was asked %d times in a round", len(busy.challenged))
	}
	open := busy.challenged[0]
	busy.proves = nil
	total += round()
	if busy.challenged[0] != open || asked[open] != 2 || len(asked) != total-1 {
		t.Errorf("the open challenge came %d times; %d challenges had %d nonces", asked[open], total, len(asked))
	}
	if err := w.AuditWhole(t.Context(), contact(1), w.any().plan, 0); err != nil {
		t.Fatal(err)
	}
	all := w.peers[contact(1).Key].challenged
	if n := asked[all[len(all)-1]]; n != 0 {
		t.Errorf("the key of the whole was asked %d times before", n)
	}
}

// any gives one of the tesseras.
func (w *ward) any() *tale {
	for _, s := range w.cases {
		return s
	}
	return nil
}

// A holder of much is asked for a part of it. The rest counts while it passes; nothing of it does once it
// fails, but what it proved itself.
func TestASampleStandsForTheRest(t *testing.T) {
	w := newWard(t)
	var all []*tale
	for i := range byte(12) { // two fragments each: 24 to draw eight from
		s := w.creates(t, i)
		w.spread(t, s)
		all = append(all, s)
	}
	w.run(t)
	w.clock = w.clock.Add(23 * time.Hour)
	if got := w.run(t); got.Healthy != 12 {
		t.Fatalf("%+v", got)
	}
	w.clock = w.clock.Add(2 * time.Hour) // the receipts are too old now
	proven := 0
	for _, s := range all {
		r := w.health(t, s)
		if r.Held != 6 {
			t.Errorf("%d held by holders that passed", r.Held)
		}
		proven += r.Proven
	}
	if proven == 0 || proven > 2*3*8 {
		t.Errorf("%d fragments are proven", proven)
	}
	w.answers(3, speaker.Proof{}, proof.ErrWrong)
	w.takes = false
	w.run(t)
	held := 0
	for _, s := range all {
		held += w.health(t, s).Held
	}
	if held > 12*4+8 {
		t.Errorf("%d held, with a holder that failed and proved at most eight before", held)
	}
}

func TestAStrangersClaimCountsOnceProven(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.keeps(t, 1, s, 0, 1)
	w.keeps(t, 2, s, 2, 3)
	w.keeps(t, 3, s, 4)
	liar := w.peers[contact(3).Key]
	liar.held[s.plan.Tessera] = append(liar.held[s.plan.Tessera], wire.HeldFragment{Index: 5, Checksum: s.plan.Fragments[5]})
	liar.proves = func(c proof.Claim) (speaker.Proof, error) {
		if c.Index == 5 {
			return speaker.Proof{}, proof.ErrWrong
		}
		return speaker.Proof{}, nil
	}
	if got := w.run(t); got.Rebuilt != 1 {
		t.Errorf("%+v: want what is only claimed rebuilt", got)
	}
	if c := w.credit(t, 3); c != uint64(s.plan.ShardSize()) {
		t.Errorf("credited with %d bytes", c)
	}
}

func TestTheKeyedHashOfAllBytes(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	if err := w.AuditWhole(t.Context(), contact(1), s.plan, 0); err != nil {
		t.Fatal(err)
	}
	if a := w.audit(t, 1); a.Proven != 1 {
		t.Errorf("an honest holder: %+v", a)
	}
	s.shards[2][777] ^= 1 // a bit that no slice happened to show
	if err := w.AuditWhole(t.Context(), contact(2), s.plan, 2); err != nil {
		t.Fatal(err)
	}
	if a := w.audit(t, 2); a.Failures != 1 || a.Failed.IsZero() {
		t.Errorf("a wrong byte: %+v", a)
	}
	s.ownErr = errors.New("disk")
	if err := w.AuditWhole(t.Context(), contact(3), s.plan, 4); err != nil {
		t.Fatal(err)
	}
	if a := w.audit(t, 3); a.Asked != 0 {
		t.Errorf("what cannot be compared was held against it: %+v", a)
	}
}

// Credit lasts only while proofs do: of who falls silent, and of the rest of what somebody claims who failed
// one proof. It comes back with them, for all that is proven or stood for, and honest holders keep theirs.
func TestCreditLastsWhileProofsDo(t *testing.T) {
	for name, spoil := range map[string]func(*peer) (mend func()){
		"silent": func(p *peer) func() {
			p.err = quicnet.ErrUnreachable
			return func() { p.err = nil }
		},
		"failing": func(p *peer) func() {
			p.proves = func(proof.Claim) (speaker.Proof, error) { return speaker.Proof{}, proof.ErrWrong }
			return func() { p.proves = nil }
		},
	} {
		w := newWard(t)
		w.takes = false
		for i := range byte(9) { // two fragments each: 18, of which eight are drawn, so that two rounds leave some
			w.spread(t, w.creates(t, i))
		}
		full := w.credit(t, 1)
		w.run(t)
		mend := spoil(w.peers[contact(3).Key])
		w.run(t)
		w.clock = w.clock.Add(20 * time.Hour)
		w.run(t)
		if c := w.credit(t, 3); c == 0 || name == "silent" && c != full {
			t.Errorf("%s for less than a day: it is credited with %d bytes of %d", name, c, full)
		}
		w.agrees(t)
		for range 2 {
			w.clock = w.clock.Add(15 * time.Hour)
			w.run(t)
		}
		if c := w.credit(t, 3); c != 0 {
			t.Errorf("%s for two days: it is credited with %d bytes", name, c)
		}
		w.agrees(t)
		mend()
		for range 25 { // until all that failed was drawn
			w.clock = w.clock.Add(12 * time.Hour)
			w.run(t)
		}
		if c := w.credit(t, 3); c != full {
			t.Errorf("%s, and back: it is credited with %d bytes of %d", name, c, full)
		}
		if c := w.credit(t, 1); c != full {
			t.Errorf("%s: an honest holder is credited with %d bytes of %d", name, c, full)
		}
		w.agrees(t)
	}
}
