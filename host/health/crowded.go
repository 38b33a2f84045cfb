package health

import (
	"cmp"
	"slices"
)

// Wanting lists the fragments that want another holder. Those without one come first, and then any
// peer may take them: newcomers is 0. Where there are none but too few peers share the tessera, it is
// the number of further peers that is wanted, and the list names what they should take over, the most
// worthwhile first.
func (r Report) Wanting() (list []Missing, newcomers int) {
	if len(r.Missing) > 0 || len(r.crowded) == 0 {
		return r.Missing, 0
	}
	return r.crowded, r.short
}

// ForNewcomers is the part of a list that so many of the wanted newcomers take over: each its share.
func ForNewcomers(list []Missing, come, wanted int) []Missing {
	copies := 0
	for _, m := range list {
		copies += m.Copies
	}
	return AtMost(list, come*((copies+wanted-1)/max(wanted, 1)))
}

// AtMost is the beginning of a list, cut to n copies in all.
func AtMost(list []Missing, n int) (out []Missing) {
	for _, m := range list {
		m.Copies = min(m.Copies, n)
		if m.Copies <= 0 {
			break
		}
		n -= m.Copies
		out = append(out, m)
	}
	return out
}

// crowded chooses what so many further peers should take over: from each holder what is beyond an even
// load, the fullest first, and one fragment for each newcomer at least.
func crowded(shape Shape, holders []Holder, replicas, short int) (out []Missing) {
	order, even := fromTheFullest(shape, holders, (shape.Total+replicas-1)/max(replicas, 1))
	if len(order) == 0 {
		return nil
	}
	for i := range max(short, even) {
		if at := i % len(order); at < len(out) {
			out[at].Copies++
		} else {
			out = append(out, Missing{Index: order[at], Copies: 1})
		}
	}
	return out
}

// fromTheFullest lists each held fragment once, always next one of the holder with most left. Without
// the first even of them, nobody has more than load.
func fromTheFullest(shape Shape, holders []Holder, load int) (order []int, even int) {
	left := carried(shape, holders)
	for {
		fullest := slices.MaxFunc(left, func(a, b *[]int) int { return cmp.Compare(len(*a), len(*b)) })
		last := len(*fullest) - 1
		if last < 0 {
			return order, even
		}
		if last >= load {
			even = len(order) + 1
		}
		order = append(order, (*fullest)[last])
		*fullest = (*fullest)[:last]
	}
}

// carried gives each fragment to one of its holders, the one that carries least, and lists for each
// holder what it carries; there is one list at least.
func carried(shape Shape, holders []Holder) []*[]int {
	lists := []*[]int{{}}
	where := make([][]*[]int, shape.Total)
	for _, h := range holders {
		list := &[]int{}
		lists = append(lists, list)
		for _, i := range h.Held {
			if i >= 0 && i < shape.Total {
				where[i] = append(where[i], list)
			}
		}
	}
	indices := make([]int, shape.Total)
	for i := range indices {
		indices[i] = i
	}
	slices.SortStableFunc(indices, func(a, b int) int { return cmp.Compare(len(where[a]), len(where[b])) })
	for _, i := range indices {
		if len(where[i]) > 0 {
			least := slices.MinFunc(where[i], func(a, b *[]int) int { return cmp.Compare(len(*a), len(*b)) })
			*least = append(*least, i)
		}
	}
	return lists
}
