package health_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/health"
)

func TestWhoIsSuspect(t *testing.T) {
	const patience = 4 * time.Hour
	r := health.Report{Missing: []health.Missing{{Index: 1, Copies: 1}, {Index: 2, Copies: 1}, {Index: 5, Copies: 2}}}
	fresh := health.Absent{Held: []int{1}, Flaps: 2}
	hour := health.Absent{Held: []int{5, 6}, Silence: time.Hour}
	old := health.Absent{Held: []int{2}, Silence: patience, Flaps: 9}
	replaced := health.Absent{Held: []int{3, 4}, Silence: 2 * time.Hour, Flaps: 7}
	for _, c := range []struct {
		name   string
		absent []health.Absent
		want   health.Suspects
	}{
		{"nobody", nil, health.Suspects{}},
		{"one", []health.Absent{fresh}, health.Suspects{Peers: 1, Expected: 1, Fragments: 1, Flaps: 2}},
		{"one for too long", []health.Absent{{Held: []int{1}, Silence: 2 * time.Hour, Flaps: 2}}, health.Suspects{Peers: 1, Fragments: 1, Silence: 2 * time.Hour, Flaps: 2}},
		{"the longest silence and the most flaps", []health.Absent{fresh, hour}, health.Suspects{Peers: 2, Expected: 1, Fragments: 2, Silence: time.Hour, Flaps: 2}},
		{"one that was replaced", []health.Absent{replaced}, health.Suspects{}},
		{"one that is lost beside a fresh one", []health.Absent{old, fresh, replaced}, health.Suspects{Peers: 1, Expected: 1, Fragments: 1, Flaps: 2}},
		{"the same fragment twice", []health.Absent{fresh, fresh}, health.Suspects{Peers: 2, Expected: 2, Fragments: 1, Flaps: 2}},
		{"two copies", []health.Absent{hour, hour, hour}, health.Suspects{Peers: 3, Fragments: 2, Silence: time.Hour}},
	} {
		if got := r.Suspects(c.absent, health.Habits{}, time.Hour, patience); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	var order []int
	for _, m := range health.SuspectsLast(r.Missing, []health.Absent{fresh, old}, patience) {
		order = append(order, m.Index)
	}
	if !slices.Equal(order, []int{2, 5, 1}) {
		t.Errorf("rebuilt in the order %v: what is only suspect comes last, what is lost does not", order)
	}
	order = nil
	later := health.Absent{Held: []int{5}, Silence: time.Minute}
	for _, m := range health.SuspectsLast(r.Missing, []health.Absent{fresh, later, hour}, patience) {
		order = append(order, m.Index)
	}
	if !slices.Equal(order, []int{2, 5, 1}) {
		t.Errorf("rebuilt in the order %v: of the suspects those away for longest come first", order)
	}
}

// TestHabitsOfOthers: where enough of those that were silent are back, one that is silent for the first time is
// expected back too, for as long as one that came back before.
func TestHabitsOfOthers(t *testing.T) {
	r := health.Report{Missing: []health.Missing{{Index: 1, Copies: 1}}}
	for _, tt := range []struct {
		back, still int
		silence     time.Duration
		expected    int
	}{
		{0, 0, 0, 0},
		{7, 0, 0, 0}, // too few to tell
		{8, 0, 0, 1},
		{8, 2, 0, 1},
		{8, 3, 0, 0}, // too many are not back
		{40, 10, time.Hour, 1},
		{40, 10, 61 * time.Minute, 0},
	} {
		who := map[int]bool{}
		for i := range tt.back + tt.still {
			who[i] = i < tt.back
		}
		s := r.Suspects([]health.Absent{{Held: []int{1}, Silence: tt.silence}}, health.HabitsOf(who), time.Hour, 4*time.Hour)
		if s.Expected != tt.expected || s.Flaps != tt.expected {
			t.Errorf("%+v: %+v", tt, s)
		}
	}
	absent := []health.Absent{{Held: []int{1}, Flaps: 3}}
	if s := r.Suspects(absent, health.Habits{Back: 20}, time.Hour, 4*time.Hour); s.Flaps != 3 {
		t.Errorf("its own habits count first: %+v", s)
	}
}
