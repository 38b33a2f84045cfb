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

// Suspects is what is missing only because holders do not answer that may yet come back.
type Suspects struct {
	Peers     int           // such holders
	Expected  int           // of them, those that came back before and are silent for a short while
	Fragments int           // missing fragments (copies) that they had
	Silence   time.Duration // the longest of theirs
	Flaps     int           // the most of theirs
}

// Suspects sums up the absent. A holder none of whose fragments is missing was replaced and matters no
// more; one that is silent for as long as patience is not suspect but lost. Short is how long one that
// came back before may well be away.
func (r Report) Suspects(absent []Absent, short, patience time.Duration) (s Suspects) {
	had := map[int]int{}
	for _, a := range absent {
		if a.Silence >= patience || r.Replaced(a.Held) {
			continue
		}
		s.Peers++
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
