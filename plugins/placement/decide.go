package placement

import "slices"

// decide searches under the operator's caps, and where spec P3 lets the subnet cap give way, above
// it: only as far as it takes to reach the wanted number of peers and to place everything. But where
// the loss of one network would then be the loss of the tessera in any case, networks protect
// nothing, and every peer is used.
func (t *table) decide() *round {
	asked := int(t.caps.GetPerSubnet())
	under := t.try(asked)
	if !t.request.SubnetCapMayYield() {
		return under
	}
	above := t.try(t.leastCap(asked))
	if above.oneNetworkIsTooMuch() {
		above = t.try(0)
	}
	if above.inUse <= under.inUse && len(above.picks) <= len(under.picks) {
		return under
	}
	return above
}

// leastCap is the lowest cap above the given one that does what having none would do.
func (t *table) leastCap(asked int) int {
	wanted := t.request.Reach(0, nil)
	wanted.Peers = min(wanted.Peers, int(t.caps.GetReplicas()))
	wanted.Slots = min(wanted.Slots, t.request.Copies())
	low, high := asked, len(t.peers)+t.start.inUse // low is too little, high is as good as none
	for low+1 < high {
		middle := low + (high-low)/2
		reach := t.request.Reach(uint32(middle), nil)
		if reach.Peers >= wanted.Peers && reach.Slots >= wanted.Slots {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// try places everything under one subnet cap. Doubtful peers are left out while the others suffice.
// How many institutions are allowed depends on how many peers are used: the limit starts at what the
// most peers allow and is lowered until the outcome keeps it.
func (t *table) try(perSubnet int) *round {
	doubtful := t.needsDoubtful(perSubnet)
	reach := t.request.Reach(uint32(perSubnet), t.leftOut(doubtful))
	for limit := t.caps.InstitutionalLimit(reach.Peers); ; limit-- {
		r := t.newRound(perSubnet, limit, doubtful)
		r.fill()
		if r.instInUse <= max(t.start.instInUse, t.caps.InstitutionalLimit(r.inUse)) {
			return r
		}
	}
}

func (t *table) needsDoubtful(perSubnet int) bool {
	if !slices.ContainsFunc(t.peers, func(p peer) bool { return p.doubtful }) {
		return false
	}
	all := t.request.Reach(uint32(perSubnet), nil)
	sure := t.request.Reach(uint32(perSubnet), t.leftOut(false))
	return sure.Peers < int(t.caps.GetReplicas()) && sure.Peers < all.Peers ||
		sure.Slots < t.request.Copies() && sure.Slots < all.Slots
}

// leftOut tells by position in the request which candidates are out of the question.
func (t *table) leftOut(doubtful bool) func(int) bool {
	return func(candidate int) bool {
		return !doubtful && isDoubtful(t.request.GetCandidates()[candidate])
	}
}

// oneNetworkIsTooMuch tells whether some network alone could take the tessera with it: fewer
// fragments are outside it than a rebuild needs.
func (r *round) oneNetworkIsTooMuch() bool {
	networks := map[uint32]int{} // fragment -> its network, or several
	const several = -1
	var fragments []uint32
	note := func(fragment uint32, net int) {
		known, met := networks[fragment]
		switch {
		case !met:
			networks[fragment] = net
			fragments = append(fragments, fragment)
		case known != net:
			networks[fragment] = several
		}
	}
	for _, h := range r.held {
		note(h.fragment, h.net)
	}
	for _, p := range r.picks {
		note(r.pieces[p.piece].GetIndex(), r.peers[p.peer].net)
	}
	only := make([]int, r.nets.count) // fragments that are nowhere else
	for _, f := range fragments {
		if net := networks[f]; net != several {
			only[net]++
		}
	}
	data := max(1, int(r.request.GetDataShards()))
	return len(fragments)-slices.Max(append(only, 0)) < data
}

// yielded tells whether a network got more peers than the operator's cap.
func (r *round) yielded() bool {
	asked := int(r.caps.GetPerSubnet())
	if asked == 0 || r.perSubnet == asked {
		return false
	}
	return slices.ContainsFunc(r.picks, func(p pick) bool {
		i := p.peer
		return r.peers[i].held == 0 && r.netPeers[r.peers[i].net] > asked
	})
}
