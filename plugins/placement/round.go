package placement

// round is one attempt to place everything under given caps.
type round struct {
	*table
	counts
	perSubnet    int  // most peers of a network; 0: any number
	institutions int  // most institutional peers
	doubtful     bool // doubtful peers may be used

	load  []int    // fragments of the tessera, by peer
	free  []uint64 // bytes left, by peer
	given [][]bool // by peer and piece
	plain []int    // peers by network that are not institutional and could still be opened
	picks []pick
	left  []int // copies that found no peer, by piece
}

// pick gives one copy of a piece to a peer; both are positions in the table.
type pick struct{ piece, peer int }

func (t *table) newRound(perSubnet, institutions int, doubtful bool) *round {
	r := &round{
		table: t, counts: t.start.clone(), perSubnet: perSubnet, institutions: institutions, doubtful: doubtful,
		load:  make([]int, len(t.peers)),
		free:  make([]uint64, len(t.peers)),
		given: make([][]bool, len(t.peers)),
		plain: make([]int, t.nets.count),
		left:  make([]int, len(t.pieces)),
	}
	marks := make([]bool, len(t.peers)*len(t.pieces))
	for i, p := range t.peers {
		r.load[i], r.free[i] = p.held, p.free
		r.given[i], marks = marks[:len(t.pieces)], marks[len(t.pieces):]
		if p.usable && p.held == 0 && !p.institution && (doubtful || !p.doubtful) {
			r.plain[p.net]++
		}
	}
	return r
}

// fill gives every copy of every piece to the best peer there is for it.
func (r *round) fill() {
	for number, piece := range r.pieces {
		for copies := int(piece.GetCopies()); copies > 0; copies-- {
			best := r.best(number)
			if best < 0 {
				r.left[number] = copies
				break
			}
			r.give(number, best)
		}
	}
	r.spreadOperators()
}

// best is the peer that shall take one more fragment, -1 if there is none. Peers stand in order of
// preference, so only a strictly better spread passes over an earlier one.
func (r *round) best(piece int) int {
	best := -1
	for i := range r.peers {
		if r.may(piece, i) && (best < 0 || r.spreadsBetter(i, best)) {
			best = i
		}
	}
	return best
}

func (r *round) may(piece, i int) bool {
	p := &r.peers[i]
	switch {
	case !p.usable, p.doubtful && !r.doubtful, r.given[i][piece], !p.fits(r.pieces[piece], piece, r.free[i]):
		return false
	case r.load[i] > 0:
		return true
	case r.perSubnet > 0 && r.netPeers[p.net] >= r.perSubnet:
		return false
	}
	return !p.institution || r.instInUse < r.institutions
}

// spreadsBetter is the heart of the policy: fewest fragments on the peer, in its network, with its
// operator. An institution waits while its network has another peer to offer, so that the few
// places institutions may take go where they widen the spread.
func (r *round) spreadsBetter(i, j int) bool {
	a, b := &r.peers[i], &r.peers[j]
	if r.load[i] != r.load[j] {
		return r.load[i] < r.load[j]
	}
	if a.doubtful != b.doubtful {
		return b.doubtful
	}
	if r.netShards[a.net] != r.netShards[b.net] {
		return r.netShards[a.net] < r.netShards[b.net]
	}
	if x, y := a.institution && r.plain[a.net] > 0, b.institution && r.plain[b.net] > 0; x != y {
		return y
	}
	return r.opShards[a.op] < r.opShards[b.op]
}

func (r *round) give(piece, i int) {
	r.move(i, 1)
	r.given[i][piece] = true
	r.free[i] -= min(r.free[i], r.pieces[piece].GetSizeBytes())
	r.picks = append(r.picks, pick{piece, i})
}

// move counts one fragment more or less on a peer.
func (r *round) move(i, by int) {
	p := &r.peers[i]
	if r.load[i] == 0 || r.load[i]+by == 0 {
		r.netPeers[p.net] += by
		r.peersInUse(p, by)
	}
	r.load[i] += by
	r.netShards[p.net] += by
	r.opShards[p.op] += by
}

func (r *round) peersInUse(p *peer, by int) {
	r.inUse += by
	if p.institution {
		r.instInUse += by
		return
	}
	r.plain[p.net] -= by
}
