package repair_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/sdk"
)

// TestARoundIsPaged: a round asks about a page at a time, and repairs in one order over all pages.
func TestARoundIsPaged(t *testing.T) {
	w := newWard(t)
	w.SetPage(2)
	var all []*tale
	for i := range byte(7) {
		s := w.cuts(t, i, 4)
		for n := range byte(8) {
			w.keeps(t, n+10, s, int(n))
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *tale) int { return bytes.Compare(a.plan.Tessera[:], b.plan.Tessera[:]) })
	if got := w.run(t); got.Checked != 7 || got.Healthy != 7 || w.peers[contact(10).Key].asked != 4 {
		t.Errorf("%+v after %d questions", got, w.peers[contact(10).Key].asked)
	}
	for n, lost := range [][]byte{3: {10}, 6: {10, 11}} { // the last one, on another page, is thinner
		for _, at := range lost {
			delete(w.peers[contact(at).Key].held, all[n].plan.Tessera)
		}
	}
	planned, err := w.waiting(t)
	want := []sdk.TesseraID{all[6].plan.Tessera, all[3].plan.Tessera}
	if err != nil || !slices.Equal(planned, want) {
		t.Errorf("planned %v, want the thinnest first: %v; %v", planned, want, err)
	}
	if got := w.run(t); got.Repaired != 2 || len(got.Failed) != 0 {
		t.Errorf("repaired %+v", got)
	}
}

// TestAPlanThatWasVerifiedIsNotBelievedWhenItChanges: its text is, and no other.
func TestAPlanThatWasVerifiedIsNotBelievedWhenItChanges(t *testing.T) {
	w := newWard(t)
	s, other := w.creates(t, 1), w.creates(t, 2)
	w.spread(t, s)
	w.spread(t, other)
	for range 2 {
		if got := w.run(t); got.Healthy != 2 {
			t.Fatalf("%+v", got)
		}
	}
	forged := bytes.Clone(s.text)
	at := bytes.LastIndex(forged, []byte("signature: ed25519 ")) + len("signature: ed25519 ")
	forged[at] ^= 'a' ^ 'b'
	for name, text := range map[string][]byte{"another's": other.text, "another signature": forged} {
		s.text = text
		got := w.run(t)
		if len(got.Failed) != 1 || got.Healthy != 1 || !errors.Is(got.Failed[0].Err, fragment.ErrPlan) && !errors.Is(got.Failed[0].Err, fragment.ErrSignature) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
