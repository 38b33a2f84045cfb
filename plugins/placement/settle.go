package placement

// settle decides which fragment goes to which of the picked peers: each fragment in turn draws among
// those with a place left. A peer that comes or goes then moves only a few fragments. Where sizes
// differ, or a draw would put a fragment where it already is, the picks stay as they are.
func (r *round) settle() {
	places := make([]int, len(r.peers))
	for _, p := range r.picks {
		if r.pieces[p.piece].GetSizeBytes() != r.pieces[0].GetSizeBytes() {
			return
		}
		places[p.peer]++
	}
	settled := make([]pick, 0, len(r.picks))
	for _, p := range r.picks {
		i := r.drawn(p.piece, places, settled)
		if i < 0 {
			return
		}
		places[i]--
		settled = append(settled, pick{p.piece, i})
	}
	for _, p := range r.picks {
		r.given[p.peer][p.piece] = false
	}
	for _, p := range settled {
		r.given[p.peer][p.piece] = true
	}
	r.picks = settled
}

// drawn is the peer with a place left whose draw for the piece is lowest, -1 if there is none.
func (r *round) drawn(piece int, places []int, settled []pick) int {
	best, lowest := -1, uint64(0)
	for i, n := range places {
		if n == 0 || r.peers[i].holds[piece] || r.copyGiven(piece, i, settled) {
			continue
		}
		if draw := drawFor(r.peers[i].draw, r.pieces[piece].GetIndex()); best < 0 || draw < lowest {
			best, lowest = i, draw
		}
	}
	return best
}

// copyGiven tells whether an earlier copy of the piece went to the peer; copies stand side by side.
func (r *round) copyGiven(piece, i int, settled []pick) bool {
	for k := len(settled) - 1; k >= 0 && settled[k].piece == piece; k-- {
		if settled[k].peer == i {
			return true
		}
	}
	return false
}
