package repair_test

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/repair"
)

// wide is a tessera of 4+4 on eight peers, 10 to 17, one fragment each: it survives four.
func (w *ward) wide(t *testing.T) *tale {
	t.Helper()
	s := w.cuts(t, 1, 4)
	for n := range byte(8) {
		w.keeps(t, n+10, s, int(n))
	}
	return s
}

func (w *ward) falls(n byte) { w.peers[contact(n).Key].err = quicnet.ErrUnreachable }

// buries lets a peer die and be replaced.
func (w *ward) buries(t *testing.T, n byte) {
	t.Helper()
	w.falls(n)
	w.run(t)
	w.clock = w.clock.Add(40 * time.Minute)
	if got := w.run(t); got.Rebuilt != 1 {
		t.Fatalf("a peer is dead: %+v", got)
	}
}

// TestTheDeadTakeNoGrace: once a dead holder is replaced its row says nothing about another that falls silent.
func TestTheDeadTakeNoGrace(t *testing.T) {
	w := newWard(t)
	w.wide(t)
	w.buries(t, 10)
	w.clock = w.clock.Add(time.Hour)
	w.falls(11)
	if got := w.run(t); got.Rebuilt != 0 {
		t.Errorf("a peer just fell silent, another was replaced long ago: %+v", got)
	}
}

// TestTheLongLostTakeNoGrace: one that is silent for longer than anybody is waited for, and could not be
// replaced, is rebuilt; a fresh silence beside it waits.
func TestTheLongLostTakeNoGrace(t *testing.T) {
	w := newWard(t)
	s := w.wide(t)
	w.takes = false
	w.falls(10)
	w.run(t)
	w.clock = w.clock.Add(5 * time.Hour)
	w.takes = true
	w.falls(11)
	if got := w.run(t); got.Rebuilt != 1 {
		t.Errorf("one is lost, one just fell silent: %+v", got)
	}
	if at, _ := w.holding(t, s, 9); len(at) != 1 || at[0] != 0 {
		t.Errorf("rebuilt %v: what is lost comes first, what is only silent can wait", at)
	}
}

// TestRowsOfTheDeadGo: they go when everything is held by others and nobody waits for them any more.
func TestRowsOfTheDeadGo(t *testing.T) {
	w := newWard(t)
	s := w.wide(t)
	w.buries(t, 10)
	if at, silent := w.holding(t, s, 10); len(at) != 1 || !silent {
		t.Errorf("it may come back, and is down with %v, silent %v", at, silent)
	}
	credit := w.credit(t, 10)
	w.clock = w.clock.Add(5 * time.Hour)
	w.run(t)
	if at, _ := w.holding(t, s, 10); at != nil {
		t.Errorf("it is dead, and down with %v", at)
	}
	if credit == 0 || w.credit(t, 10) != 0 {
		t.Errorf("its credit is %d, and was %d", w.credit(t, 10), credit)
	}
}

// TestOffAtTheHour: a peer that is off at the hour of the round and met in between is never given up.
func TestOffAtTheHour(t *testing.T) {
	w := newWard(t)
	w.wide(t)
	w.falls(10)
	for round := range 10 {
		w.peers[contact(10).Key].met = w.clock.Add(-30 * time.Minute)
		if got := w.run(t); got.Rebuilt != 0 {
			t.Fatalf("round %d: %+v", round, got)
		}
		w.clock = w.clock.Add(time.Hour)
	}
	var planned []repair.Planned
	for range 6 { // nobody meets it any more
		var err error
		if planned, err = w.Service.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Hour)
	}
	if len(planned) != 1 || planned[0].Wait != 0 || planned[0].Rebuild != 1 {
		t.Errorf("not met for hours: %+v", planned)
	}
}
