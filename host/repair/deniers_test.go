package repair_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	speaker "github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// counted is how many fragments of all tesseras count as held by a peer.
func (w *ward) counted(t *testing.T, n byte) (held int) {
	t.Helper()
	for id := range w.cases {
		records, err := w.book.Records(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			for _, f := range r.Fragments {
				if counts, _ := w.book.Counts(r, f); counts && r.Key == contact(n).Key {
					held++
				}
			}
		}
	}
	return held
}

func notHere() error { return wire.Refuse(wire.Code_NOT_FOUND, "not here") }

// TestDeniersAreCaught is the deniers' part of G17: holders of more than is drawn in a round that sign for
// everything and have nothing of it, or next to nothing, and answer every challenge that they do not have
// it. One signs for it again at once, one only in the next round.
func TestDeniersAreCaught(t *testing.T) {
	const tesseras = 20 // two fragments each
	for name, c := range map[string]struct {
		admits bool // when it is asked again at once
		has    int  // so many of the tesseras
	}{
		"signs again at once":               {},
		"admits, and claims it again":       {admits: true},
		"has a tenth, signs again at once":  {has: tesseras / 10},
		"has a tenth, admits, claims again": {admits: true, has: tesseras / 10},
	} {
		w := newWard(t)
		w.takes = false
		for i := range byte(tesseras) {
			w.spread(t, w.creates(t, i))
		}
		liar := w.peers[contact(3).Key]
		claims := map[fragmentKey]wire.HeldFragment{}
		for id, all := range liar.held {
			for _, f := range all {
				claims[fragmentKey{id, f.Index}] = f
			}
		}
		has := map[fragmentKey]bool{}
		for k := range claims {
			if len(has) < 2*c.has {
				has[k] = true
			}
		}
		liar.proves = func(claim proof.Claim) (speaker.Proof, error) {
			k := fragmentKey{claim.Tessera, claim.Index}
			if has[k] {
				return speaker.Proof{}, nil
			}
			if c.admits {
				liar.held[k.tessera] = slices.DeleteFunc(slices.Clone(liar.held[k.tessera]), func(f wire.HeldFragment) bool { return f.Index == k.index })
			}
			return speaker.Proof{}, notHere()
		}
		failed := 0
		for day := range 5 {
			clear(liar.held)
			for k, f := range claims {
				liar.held[k.tessera] = append(liar.held[k.tessera], f)
			}
			w.clock = w.clock.Add(25 * time.Hour)
			w.run(t)
			if got := w.counted(t, 3); got > len(has) {
				t.Fatalf("%s: on day %d %d of its %d claims count, of which it has %d", name, day, got, len(claims), len(has))
			}
			failed += w.failed(t, 3)
			if got := w.counted(t, 1); got != 2*tesseras {
				t.Fatalf("%s: of an honest holder %d of %d fragments count", name, got, 2*tesseras)
			}
		}
		a := w.audit(t, 3)
		if !a.Passed.IsZero() || !c.admits && (a.Failed.IsZero() || a.Failures == 0) {
			t.Errorf("%s: it is down as %+v", name, a)
		}
		if failed == 0 {
			t.Errorf("%s: no fragment of it was ever down as failed", name)
		}
	}
}

// failed is how many fragments are down as failed by a peer.
func (w *ward) failed(t *testing.T, n byte) (failed int) {
	t.Helper()
	err := w.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.Holders() {
			if err != nil {
				return err
			}
			for _, f := range h.Fragments {
				if h.Key == contact(n).Key && !f.Failed.IsZero() {
					failed++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

// A holder gives up what is surplus between its attestation and the challenge. It loses nothing but that,
// and gets it back with the proof when it has the fragment again.
func TestGivingUpAfterAttestingIsHarmless(t *testing.T) {
	w := newWard(t)
	w.takes = false
	s := w.creates(t, 1)
	w.spread(t, s)
	honest := w.peers[contact(3).Key]
	whole := honest.held[s.plan.Tessera]
	honest.proves = func(claim proof.Claim) (speaker.Proof, error) {
		if claim.Index == 5 {
			honest.held[s.plan.Tessera] = whole[:1]
			return speaker.Proof{}, notHere()
		}
		return speaker.Proof{}, nil
	}
	w.run(t)
	a := w.audit(t, 3)
	if !a.Failed.IsZero() || !a.Grace.IsZero() || !a.Lapsed.IsZero() || a.Open != nil {
		t.Errorf("it is down as %+v", a)
	}
	if at, _ := w.holding(t, s, 3); !slices.Equal(at, []int{4}) || w.counted(t, 3) != 1 {
		t.Errorf("it is down with %v, %d count", at, w.counted(t, 3))
	}
	if c := w.credit(t, 3); c != uint64(s.plan.ShardSize()) {
		t.Errorf("it is credited with %d bytes", c)
	}
	w.run(t)
	if a := w.audit(t, 3); a.Passed.IsZero() {
		t.Errorf("in the next round: %+v", a)
	}
	honest.held[s.plan.Tessera], honest.proves = whole, nil
	w.run(t)
	if got := w.counted(t, 3); got != 2 || w.credit(t, 3) != 2*uint64(s.plan.ShardSize()) {
		t.Errorf("with the fragment again, %d count and it is credited with %d bytes", got, w.credit(t, 3))
	}
}

// What is asked beside a round's sample tells of the fragment that was asked for, and of nothing else.
func TestOnlyARoundsSampleCloses(t *testing.T) {
	for name, ask := range map[string]func(*ward, *tale) error{
		"the keyed hash": func(w *ward, s *tale) error { return w.AuditWhole(t.Context(), contact(3), s.plan, 4) },
		"by name": func(w *ward, s *tale) error {
			_, err := w.Run(t.Context(), []sdk.TesseraID{s.plan.Tessera})
			return err
		},
	} {
		w := newWard(t)
		w.takes = false
		s, other := w.creates(t, 1), w.creates(t, 2)
		w.keeps(t, 1, s, 0, 1, 2, 3, 5)
		w.keeps(t, 3, s, 4)
		w.keeps(t, 3, other, 5)
		bad := wire.Refuse(wire.Code_BUSY, "later")
		p := w.peers[contact(3).Key]
		p.proves = func(c proof.Claim) (speaker.Proof, error) {
			if c.Tessera == other.plan.Tessera {
				return speaker.Proof{}, bad
			}
			h := digest.NewKeyed(p.challenged[len(p.challenged)-1])
			h.Write(s.shards[c.Index])
			return speaker.Proof{Whole: h.Sum()}, nil
		}
		for range 2 {
			w.run(t)
		}
		before := w.audit(t, 3)
		if before.Open == nil || before.Lapsed.IsZero() {
			t.Fatalf("%s: to begin with %+v", name, before)
		}
		bad = wire.Refuse(wire.Code_DAMAGED, "lost")
		w.run(t)
		if a := w.audit(t, 3); a.Open != nil || a.Failed.IsZero() || a.Lapsed.IsZero() {
			t.Errorf("%s: the challenge was failed: %+v", name, a)
		}
		bad = wire.Refuse(wire.Code_BUSY, "later")
		w.run(t)
		before = w.audit(t, 3)
		w.clock = w.clock.Add(time.Minute)
		if err := ask(w, s); err != nil {
			t.Fatal(err)
		}
		a := w.audit(t, 3)
		if a.Open == nil || *a.Open != *before.Open || !a.Passed.Equal(before.Passed) || !a.Lapsed.Equal(before.Lapsed) {
			t.Errorf("%s: open %v, passed %s, lapsed %s; were %v, %s, %s", name, a.Open, a.Passed, a.Lapsed, before.Open, before.Passed, before.Lapsed)
		}
		if a.Proven != before.Proven+1 {
			t.Errorf("%s: %d are proven, were %d: it left no evidence", name, a.Proven, before.Proven)
		}
	}
}
