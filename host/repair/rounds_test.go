package repair_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestOnlyWhatIsMissingIsRebuilt(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	if got := w.run(t); got.Checked != 1 || got.Healthy != 1 || got.Rebuilt != 0 {
		t.Errorf("of a whole tessera: %+v", got)
	}
	w.peers[contact(3).Key].held = nil // it has lost what it had
	if got := w.run(t); got.Rebuilt != 2 || got.Repaired != 1 || len(got.Failed) != 0 {
		t.Errorf("repaired %+v", got)
	}
	if at, _ := w.holding(t, s, 9); !slices.Equal(at, []int{4, 5}) || w.collected != 0 {
		t.Errorf("a new holder has %v; peers were asked %d times, though the own copy is whole", at, w.collected)
	}
	if at, _ := w.holding(t, s, 3); at != nil {
		t.Errorf("what was lost is down as held: %v", at)
	}
}

func TestAWrongOwnCopyIsNotCodedAgain(t *testing.T) {
	for name, spoil := range map[string]func(*tale){
		"damaged":   func(s *tale) { s.ownErr = errors.New("content does not match its hash") },
		"truncated": func(s *tale) { s.own = s.own[:1000] },
		"changed":   func(s *tale) { s.own = slices.Clone(s.own); s.own[77] ^= 1 },
		"longer":    func(s *tale) { s.own = append(slices.Clone(s.own), 1) },
	} {
		w := newWard(t)
		s := w.creates(t, 1)
		w.spread(t, s)
		spoil(s)
		w.peers[contact(1).Key].held = nil
		if got := w.run(t); got.Rebuilt != 2 || w.collected != 1 { // fragment 0 computed, 1 found on the way
			t.Errorf("%s: %+v, peers asked %d times", name, got, w.collected)
		}
	}
}

func TestOneThatCannotBeHelpedDoesNotStopTheRound(t *testing.T) {
	w := newWard(t)
	rotten, forged, lost, good := w.creates(t, 1), w.creates(t, 2), w.creates(t, 3), w.creates(t, 4)
	for _, s := range []*tale{rotten, forged, lost, good} {
		w.spread(t, s)
	}
	rotten.text = rotten.text[1:]
	forged.text = good.text // swapped files
	lost.ownErr, lost.shards[1] = errors.New("disk"), nil
	w.peers[contact(2).Key].held = nil
	got := w.run(t)
	if got.Checked != 4 || got.Repaired != 1 || got.Rebuilt != 2 || len(got.Failed) != 3 {
		t.Fatalf("repaired %+v", got)
	}
	why := map[sdk.TesseraID]error{}
	for _, f := range got.Failed {
		why[f.Tessera] = f.Err
	}
	for _, s := range []*tale{rotten, forged} {
		if !errors.Is(why[s.plan.Tessera], fragment.ErrPlan) {
			t.Errorf("a wrong plan: %v", why[s.plan.Tessera])
		}
	}
	if err := why[lost.plan.Tessera]; err == nil || !strings.Contains(err.Error(), "too few fragments") {
		t.Errorf("too few fragments: %v", err)
	}
	if planned, err := w.waiting(t); err != nil || len(planned) != 1 || planned[0] != lost.plan.Tessera {
		t.Errorf("what is left to do: %v, %v", planned, err)
	}
}

// waiting lists what a round would work on.
func (w *ward) waiting(t *testing.T) (ids []sdk.TesseraID, err error) {
	planned, err := w.Service.Plan(t.Context())
	for _, p := range planned {
		ids = append(ids, p.Tessera)
	}
	return ids, err
}

func TestOnlyThePlansChecksumsCount(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	p := w.peers[contact(2).Key]
	p.held[s.plan.Tessera] = []wire.HeldFragment{
		{Index: 2, Checksum: s.plan.Fragments[3]}, {Index: 3, Checksum: digest.Hash{}}, {Index: 200, Checksum: s.plan.Fragments[2]},
	}
	if got := w.run(t); got.Rebuilt != 2 {
		t.Errorf("repaired %+v", got)
	}
	if at, _ := w.holding(t, s, 2); at != nil {
		t.Errorf("it is down with %v", at)
	}
}

func TestTheGoneAndTheLate(t *testing.T) {
	for name, c := range map[string]struct {
		err, ping error
		silent    bool
		pinged    int
	}{
		"answers":                 {nil, nil, false, 0},
		"nobody at its address":   {quicnet.ErrUnreachable, nil, true, 0},
		"late, but alive":         {quicnet.ErrSilent, nil, false, 1},
		"late, and not alive":     {quicnet.ErrSilent, quicnet.ErrSilent, true, 1},
		"refuses, but alive":      {wire.Refuse(wire.Code_BUSY, "busy"), nil, false, 1},
		"wrong answer, but alive": {wire.ErrSignature, nil, false, 1},
		"refuses even a ping":     {quicnet.ErrSilent, wire.Refuse(wire.Code_BUSY, "busy"), false, 1},
		"no connection was free":  {quicnet.ErrFull, quicnet.ErrFull, false, 1},
	} {
		w := newWard(t)
		s := w.creates(t, 1)
		w.spread(t, s)
		p := w.peers[contact(3).Key]
		p.err, p.ping = c.err, c.ping
		w.clock = w.clock.Add(time.Minute)
		w.run(t)
		if at, silent := w.holding(t, s, 3); silent != c.silent || len(at) != 2 || w.pinged != c.pinged {
			t.Errorf("%s: silent %v, down with %v, pinged %d times", name, silent, at, w.pinged)
		}
	}
}

func TestAClosingNodeAccusesNobody(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	for _, p := range w.peers {
		p.err, p.ping = quicnet.ErrClosed, quicnet.ErrClosed
	}
	if err := w.Step(t.Context()); !errors.Is(err, quicnet.ErrClosed) {
		t.Errorf("a round while the network is closed: %v", err)
	}
	for n := range byte(3) {
		if _, silent := w.holding(t, s, n+1); silent {
			t.Error("a holder is down as silent")
		}
	}
}

func TestSilenceIsWaitedForUnlessItLasts(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	for n := range byte(6) { // survives two
		w.keeps(t, n+1, s, int(n))
	}
	gone := w.peers[contact(6).Key]
	gone.err = quicnet.ErrUnreachable
	if got := w.run(t); got.Rebuilt != 1 { // one more loss is survived then: that is critical
		t.Errorf("at the last margin: %+v", got)
	}

	w = newWard(t)
	wide := w.cuts(t, 1, 4)
	for n := range byte(8) { // survives four
		w.keeps(t, n+10, wide, int(n))
	}
	w.peers[contact(10).Key].err = quicnet.ErrUnreachable
	if got := w.run(t); got.Rebuilt != 0 || len(got.Failed) != 0 {
		t.Errorf("just fell silent: %+v", got)
	}
	planned, err := w.Service.Plan(t.Context())
	if err != nil || len(planned) != 1 || planned[0].Wait <= 0 || planned[0].Rebuild != 1 {
		t.Errorf("planned %+v, %v", planned, err)
	}
	w.peers[contact(11).Key].held = nil // fragment 1 is lost for sure
	if got := w.run(t); got.Rebuilt != 1 {
		t.Errorf("what is surely lost: %+v", got)
	}
	if at, _ := w.holding(t, wide, 9); !slices.Equal(at, []int{1}) {
		t.Errorf("rebuilt %v: what is only silent can wait", at)
	}
	w.clock = w.clock.Add(40 * time.Minute) // beyond the grace, half an interval
	if got := w.run(t); got.Rebuilt != 1 {
		t.Errorf("after the grace: %+v", got)
	}
	if at, _ := w.holding(t, wide, 9); !slices.Equal(at, []int{0, 1}) {
		t.Errorf("rebuilt %v", at)
	}
	if got := w.run(t); got.Healthy != 1 {
		t.Errorf("in the end: %+v", got)
	}
}

func TestAPersonNeedNotWait(t *testing.T) {
	w := newWard(t)
	s := w.cuts(t, 1, 4)
	for n := range byte(8) {
		w.keeps(t, n+10, s, int(n))
	}
	w.peers[contact(10).Key].err = quicnet.ErrUnreachable
	if got, err := w.Run(t.Context(), []sdk.TesseraID{s.plan.Tessera}); err != nil || got.Rebuilt != 1 {
		t.Errorf("asked for by name: %+v, %v", got, err)
	}
}

func TestLongListsAreAskedInParts(t *testing.T) {
	w := newWard(t)
	for i := range byte(7) {
		w.spread(t, w.creates(t, i))
	}
	p := w.peers[contact(1).Key]
	p.covers = 3
	if got := w.run(t); got.Healthy != 7 || p.asked != 3 {
		t.Errorf("%+v after %d questions", got, p.asked)
	}
	p.covers, p.asked = 0, 0
	p.moved = netip.MustParseAddrPort("198.51.100.7:1")
	w.run(t)
	if p.at != p.moved || p.asked != 1 {
		t.Errorf("asked at %s, %d times", p.at, p.asked)
	}
}

func TestARoundKeepsOffWhatIsNotItsOwn(t *testing.T) {
	w := newWard(t)
	s, deleted := w.creates(t, 1), w.creates(t, 2)
	w.spread(t, s)
	w.spread(t, deleted)
	err := w.catalog.Update(func(tx *catalog.Tx) error {
		if err := tx.DropTessera(deleted.plan.Tessera); err != nil {
			return err
		}
		return tx.PutPlan(catalog.PlanRow{Tessera: sdk.TesseraID{5}, Owner: sdk.OwnerKey{5}, Data: 4, Parity: 2, Copies: 1, ShardSize: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	w.peers[contact(1).Key].held = nil
	done := w.turns.Try(s.plan.Tessera)
	got := w.run(t)
	if got.Checked != 1 || got.Rebuilt != 0 || len(got.Failed) != 1 || !strings.Contains(got.Failed[0].Err.Error(), "moved already") {
		t.Errorf("while a publish is at it: %+v", got)
	}
	done()
	if got := w.run(t); got.Rebuilt != 2 {
		t.Errorf("after it: %+v", got)
	}
}

func TestNothingIsRebuiltInVain(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.spread(t, s)
	w.peers[contact(1).Key].held = nil
	w.takes = false
	s.ownErr = errors.New("the own copy was read")
	if got := w.run(t); len(got.Failed) != 1 || !strings.Contains(fmt.Sprint(got.Failed[0].Err), "2 fragments found no holder: nobody is there") || w.collected != 0 {
		t.Errorf("nobody takes anything: %+v", got)
	}
	w.takes, w.minFree = true, 1<<62
	if got := w.run(t); len(got.Failed) != 1 || !strings.Contains(fmt.Sprint(got.Failed[0].Err), "not enough free space to rebuild") {
		t.Errorf("without room: %+v", got)
	}
	w.minFree, w.fetched = 0, 1<<62
	if got := w.run(t); w.collected == 0 || len(got.Failed) != 1 || !strings.Contains(fmt.Sprint(got.Failed[0].Err), "not enough free space to rebuild") {
		t.Errorf("without room beside what was fetched: %+v", got)
	}
	w.minFree, w.fetched = 0, 0
	if got := w.run(t); got.Rebuilt != 2 {
		t.Errorf("then: %+v", got)
	}
}

func TestTooFewPeersGetANewcomer(t *testing.T) {
	w := newWard(t)
	s := w.creates(t, 1)
	w.keeps(t, 1, s, 0, 1, 2)
	w.keeps(t, 2, s, 3, 4, 5)
	w.takes = false
	if got := w.run(t); len(got.Failed) != 1 || !strings.Contains(fmt.Sprint(got.Failed[0].Err), "on 2 peers") {
		t.Errorf("with nobody new: %+v", got)
	}
	w.takes = true
	if got := w.run(t); got.Rebuilt != 2 || len(got.Failed) != 0 {
		t.Errorf("with somebody new: %+v", got)
	}
	if at, _ := w.holding(t, s, 9); len(at) != 2 {
		t.Errorf("the newcomer has %v", at)
	}
	if got := w.run(t); got.Healthy != 1 {
		t.Errorf("and then: %+v", got)
	}
}
