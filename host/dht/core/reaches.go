package core

import "slices"

// reaches remembers how far lookups for points that nobody could foresee had to reach for their K
// nodes. That tells how dense ids lie, and so what is no chance.
type reaches struct{ last []float64 } // newest last

// kept is how many reaches are kept: enough that one odd corner of the space does not decide.
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

// bounds are the nearest and the farthest that K nodes can be believed to reach: half and twice what the
// nearest eighth of the lookups reached. Who lies can lead a lookup to the few that lie, and so too far, but
// cannot have nodes where nobody foresees that they are looked for. Where chance goes beyond the bounds, a
// lookup asks some nodes more; and while nothing is known, as many as it may.
func (r *reaches) bounds() (least, most float64) {
	if len(r.last) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(r.last))
	near := sorted[len(sorted)/8]
	return near / 2, 2 * near
}
