package health

import (
	"cmp"
	"slices"
	"time"
)

// Absent is a holder that does not answer.
type Absent struct {
	Held    []int         // the fragments it had, each once
	Silence time.Duration // so far
	Flaps   int           // how often it came back from one before
}

// Habits is how those behave who fall silent, whatever they hold: of the peers that were silent in the last
// round, and not for so long that they are given up, how many were back since, and how many were not.
type Habits struct{ Back, Still int }

// Habits that say something about others: so many at least came back, and of five that were silent four.
const (
	enoughBack = 8
	backToOne  = 4
)

// Return tells that it is usual to come back.
func (h Habits) Return() bool { return h.Back >= enoughBack && h.Back >= backToOne*h.Still }

// HabitsOf counts peers, of each of which it is told whether it was back.
func HabitsOf[P comparable](back map[P]bool) (h Habits) {
	for _, was := range back {
		if was {
			h.Back++
		} else {
			h.Still++
		}
	}
	return h
}

// Suspects is what is missing only because holders do not answer that may yet come back.
type Suspects struct {
	Peers     int           // such holders
	Expected  int           // of them, those that came back before, or count as if they had, and are silent for a short while
	Fragments int           // missing fragments (copies) that they had
	Silence   time.Duration // the longest of theirs
	Flaps     int           // the most of theirs
}

// Suspects sums up the absent. A holder none of whose fragments is missing was replaced and matters no
// more; one that is silent for as long as patience is not suspect but lost. Short is how long one that
// came back before may well be away. For so long the habits of the others stand in for one that was never silent
// before: where it is usual to come back it counts as if it had done so once.
func (r Report) Suspects(absent []Absent, others Habits, short, patience time.Duration) (s Suspects) {
	had := map[int]int{}
	for _, a := range absent {
		if a.Silence >= patience || r.Replaced(a.Held) {
			continue
		}
		s.Peers++
		if a.Flaps == 0 && a.Silence <= short && others.Return() {
			a.Flaps = 1
		}
		if a.Flaps > 0 && a.Silence <= short {
			s.Expected++
		}
		s.Silence, s.Flaps = max(s.Silence, a.Silence), max(s.Flaps, a.Flaps)
		for _, f := range a.Held {
			had[f]++
		}
	}
	for _, m := range r.Missing {
		s.Fragments += min(m.Copies, had[m.Index])
	}
	return s
}

// Replaced tells that nothing is missing of what a holder has or had.
func (r Report) Replaced(held []int) bool {
	return !slices.ContainsFunc(r.Missing, func(m Missing) bool { return slices.Contains(held, m.Index) })
}

// SuspectsLast puts those of a list behind the others whose holders may yet come back, by the same patience;
// of them it puts first those whose holders have been away for longest.
func SuspectsLast(list []Missing, absent []Absent, patience time.Duration) []Missing {
	left := map[int]time.Duration{} // of the patience with a holder
	for _, a := range absent {
		for _, f := range a.Held {
			left[f] = max(left[f], patience-a.Silence)
		}
	}
	return slices.SortedStableFunc(slices.Values(list), func(a, b Missing) int {
		return cmp.Compare(left[a.Index], left[b.Index])
	})
}
