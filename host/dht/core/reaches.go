package core

import "slices"

// reaches remembers how far lookups for points that nobody could foresee had to reach for their K
// nodes. That tells how dense ids lie, and so what is no chance.
type reaches struct{ last []float64 } // newest last

// kept is how many reaches are kept: enough for a median that one odd corner does not move.
const kept = 16

func (r *reaches) note(target ID, nodes []Node, k int) {
	if len(nodes) < k {
		return
	}
	if len(r.last) == kept {
		r.last = r.last[1:]
	}
	r.last = append(r.last, gap(target, nodes[k-1].At))
}

// bounds are the nearest and the farthest that K nodes can be believed to reach: half and twice the
// median. Ids drawn at random lie nearer about one target in 300 and farther about one in 3,000; where it
// happens, a lookup asks some nodes more.
func (r *reaches) bounds() (least, most float64) {
	if len(r.last) < 3 {
		return 0, 1
	}
	sorted := slices.Sorted(slices.Values(r.last))
	median := sorted[len(sorted)/2]
	return median / 2, 2 * median
}
