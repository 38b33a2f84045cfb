package repair_test

import (
	"testing"
	"time"
)

// TestHabitsOfTheOthers: three of eight holders, which survive four, fall silent for the first time. Where eight
// others were silent in the round before and are back, or were met meanwhile, that is waited for; where one of
// them is not back it is not.
func TestHabitsOfTheOthers(t *testing.T) {
	for _, tt := range []struct {
		name          string
		silent, back  int
		met           bool // those that are back were met between the rounds, and are silent again
		rebuilt, next int  // in the round, and in the next
	}{
		{name: "nobody was silent", rebuilt: 3},
		{name: "eight are back", silent: 8, back: 8, next: 3},
		{name: "eight were met", silent: 8, back: 8, met: true, next: 3},
		{name: "one is not back", silent: 8, back: 7, rebuilt: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWard(t)
			w.wide(t)
			var others []byte
			for tessera := range byte(4) {
				s := w.cuts(t, tessera+2, 4)
				for n := range byte(8) {
					w.keeps(t, 20+10*tessera+n, s, int(n))
				}
				others = append(others, 20+10*tessera, 21+10*tessera)
			}
			for _, n := range others[:tt.silent] {
				w.falls(n)
			}
			if got := w.run(t); got.Rebuilt != 0 {
				t.Fatalf("before: %+v", got)
			}
			w.clock = w.clock.Add(time.Hour)
			for _, n := range others[:tt.back] {
				if tt.met {
					w.peers[contact(n).Key].met = w.clock.Add(-30 * time.Minute)
				} else {
					w.peers[contact(n).Key].err = nil
				}
			}
			for n := range byte(3) {
				w.falls(10 + n)
			}
			if got := w.run(t); got.Rebuilt != tt.rebuilt {
				t.Errorf("%+v, want %d rebuilt", got, tt.rebuilt)
			}
			for _, n := range others {
				w.peers[contact(n).Key].err = nil
			}
			w.clock = w.clock.Add(61 * time.Minute)
			if got := w.run(t); got.Rebuilt != tt.next {
				t.Errorf("in the next round %+v, want %d rebuilt", got, tt.next)
			}
		})
	}
}
