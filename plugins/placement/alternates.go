package placement

// maxAlternates is how many alternates an assignment gets at most.
const maxAlternates = 8

// alternates lists for the k-th pick who takes the fragment should its peer refuse: peers not in use
// first, best first, then those with the fewest fragments. Each pick starts at another place of these
// lists, so that many refusals do not all fall on the same few. unused and used are in order of
// preference.
func (r *round) alternates(k int, unused, used []int) []uint32 {
	var out []uint32
	add := func(i int) {
		if len(out) < maxAlternates && r.mayStandIn(k, i) {
			out = append(out, uint32(r.peers[i].candidate))
		}
	}
	for n := range unused {
		add(unused[(k+n)%len(unused)])
	}
	most := 0
	for _, i := range used {
		most = max(most, r.load[i])
	}
	for load := 1; load <= most && len(out) < maxAlternates; load++ {
		for n := range used {
			if i := used[(k+n)%len(used)]; r.load[i] == load {
				add(i)
			}
		}
	}
	return out
}

// byUse splits the peers that may be used, keeping their order.
func (r *round) byUse() (unused, used []int) {
	for i := range r.peers {
		switch {
		case r.load[i] > 0:
			used = append(used, i)
		case r.peers[i].usable && (r.doubtful || !r.peers[i].doubtful):
			unused = append(unused, i)
		}
	}
	return unused, used
}

// mayStandIn tells whether peer i could take over the k-th pick with every cap kept.
func (r *round) mayStandIn(k, i int) bool {
	piece, from := r.picks[k].piece, r.picks[k].peer
	p, q := &r.peers[from], &r.peers[i]
	if r.given[i][piece] || !q.fits(r.pieces[piece], piece, r.free[i]) {
		return false
	}
	if r.load[i] > 0 {
		return i != from
	}
	leaves := boolInt(r.load[from] == 1)
	inNet := r.netPeers[q.net] + 1
	if p.net == q.net {
		inNet -= leaves
	}
	if r.perSubnet > 0 && inNet > r.perSubnet {
		return false
	}
	institutions := r.instInUse + 1 - leaves*boolInt(p.institution)
	return !q.institution || institutions <= r.caps.InstitutionalLimit(r.inUse+1-leaves)
}
