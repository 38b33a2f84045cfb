package placement

// exchange is a pick and the idle peer that could stand in for it.
type exchange struct{ pick, peer int }

// spreadOperators exchanges peers for idle ones of the same network where that takes a fragment from
// an operator with more and gives it to one with fewer, if need be over others in between, who give
// one and get one. Each such chain evens the operators out, so it ends; when none is left no choice
// of peers within these networks spreads the operators wider (an augmenting path, as in bipartite
// matching).
func (r *round) spreadOperators() {
	for changed := true; changed; {
		changed = false
		for _, p := range r.picks {
			if chain := r.relieve(r.peers[p.peer].op); len(chain) > 0 {
				for _, x := range chain {
					r.replace(x.pick, x.peer)
				}
				changed = true
			}
		}
	}
}

// relieve finds the shortest chain that takes a fragment from an operator, last exchange first.
func (r *round) relieve(operator int) []exchange {
	if r.opShards[operator] < 2 {
		return nil
	}
	var reached []exchange          // in the order operators are met
	by := map[int]int{operator: -1} // operator -> position in reached of the exchange that led there
	for at := -1; at < len(reached); at++ {
		from := operator
		if at >= 0 {
			from = r.peers[reached[at].peer].op
		}
		for k, p := range r.picks {
			if r.peers[p.peer].op != from {
				continue
			}
			for _, j := range r.idleFor(k) {
				to := r.peers[j].op
				if _, met := by[to]; met {
					continue
				}
				by[to] = len(reached)
				reached = append(reached, exchange{k, j})
				if r.opShards[to]+1 < r.opShards[operator] {
					return r.chain(reached, by, to)
				}
			}
		}
	}
	return nil
}

// chain follows the exchanges back from the operator that gets one more.
func (r *round) chain(reached []exchange, by map[int]int, to int) []exchange {
	var out []exchange
	for at := by[to]; at >= 0; at = by[to] {
		out = append(out, reached[at])
		to = r.peers[r.picks[reached[at].pick].peer].op
	}
	return out
}

// idleFor lists the idle peers of the same network that could take over a pick.
func (r *round) idleFor(k int) []int {
	piece, i := r.picks[k].piece, r.picks[k].peer
	p := &r.peers[i]
	if r.load[i] != 1 || p.held > 0 {
		return nil
	}
	var out []int
	for _, j := range r.byNet[p.net] {
		q := &r.peers[j]
		if r.load[j] == 0 && q.institution == p.institution && q.doubtful == p.doubtful && q.fits(r.pieces[piece], piece, q.free) {
			out = append(out, j)
		}
	}
	return out
}

// replace hands a pick over to a peer that is not in use.
func (r *round) replace(k, j int) {
	piece, i := r.picks[k].piece, r.picks[k].peer
	r.move(i, -1)
	r.given[i][piece], r.free[i] = false, r.peers[i].free
	r.move(j, 1)
	r.given[j][piece] = true
	r.free[j] -= min(r.free[j], r.pieces[piece].GetSizeBytes())
	r.picks[k].peer = j
}
