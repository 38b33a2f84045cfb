package demo

import "testing"

func TestWhatASpreadSurvives(t *testing.T) {
	even := func(nodes, total int) spread {
		s := spread{}
		for i := range total {
			id := string(rune('a' + i%nodes))
			s[id] = append(s[id], i)
		}
		return s
	}
	doubled := even(12, 24)
	doubled["x"] = []int{0, 1, 2, 3}
	for name, c := range map[string]struct {
		s          spread
		data, want int
	}{
		"24 on 12":                    {even(12, 24), 16, 4},
		"24 on 8":                     {even(8, 24), 16, 2},
		"24 on 7":                     {even(7, 24), 16, 2},
		"72 on 24":                    {even(24, 72), 48, 8},
		"with one who has others'":    {doubled, 16, 4},
		"just enough":                 {even(16, 16), 16, 0},
		"seven whole copies":          {spread{"a": {0}, "b": {0}, "c": {0}, "d": {0}, "e": {0}, "f": {0}, "g": {0}}, 1, 6},
		"nobody":                      {spread{}, 1, 0},
		"fewer than a rebuild needs ": {even(4, 8), 16, 0},
	} {
		if got := c.s.survives(c.data); got != c.want {
			t.Errorf("%s: survives %d, want %d", name, got, c.want)
		}
	}
	if !even(8, 24).complete("medium", 24, 8) || even(8, 23).complete("medium", 24, 8) {
		t.Error("complete is every fragment")
	}
	if !(spread{"a": {0}, "b": {0}}).complete("small", 7, 2) || (spread{"a": {0}}).complete("small", 7, 2) {
		t.Error("complete is as many copies as wanted, or nodes")
	}
}
