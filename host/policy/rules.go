package policy

import (
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// tally follows who holds what of one tessera while fragments are placed, and knows the hard rules.
type tally struct {
	request *sdk.PlaceRequest
	caps    *sdk.Caps
	pieces  map[uint32]*sdk.Piece
	wanted  map[uint32]int // copies still to be placed
	peers   map[sdk.NodeID]*seat
	subnets map[string]int // peers in use
	inUse   int            // peers
	inst    int            // of those, institutions
	yields  bool           // the subnet cap gave way
}

// seat is one peer: what it held before, and what it is given.
type seat struct {
	subnet        string
	institutional bool
	candidate     bool
	freeKnown     bool
	free          uint64
	held          []uint32
	given         []uint32
}

func (s *seat) fragments() int { return len(s.held) + len(s.given) }

func (s *seat) has(fragment uint32) bool {
	return slices.Contains(s.held, fragment) || slices.Contains(s.given, fragment)
}

// newTally expects a canonical request.
func newTally(request *sdk.PlaceRequest) *tally {
	t := &tally{
		request: request, caps: request.Caps,
		pieces: map[uint32]*sdk.Piece{}, wanted: map[uint32]int{},
		peers: map[sdk.NodeID]*seat{}, subnets: map[string]int{},
	}
	for _, p := range request.Pieces {
		t.pieces[p.Index], t.wanted[p.Index] = p, int(p.Copies)
	}
	for _, c := range request.Candidates {
		t.peers[sdk.NodeID(c.Id)] = &seat{
			subnet: string(c.Subnet), institutional: c.Institutional, candidate: true, freeKnown: c.FreeBytes > 0, free: c.FreeBytes,
		}
	}
	for _, h := range request.Holdings {
		if len(h.Fragments) == 0 {
			continue
		}
		s := t.peers[sdk.NodeID(h.Id)]
		if s == nil {
			s = &seat{}
			t.peers[sdk.NodeID(h.Id)] = s
		}
		s.subnet, s.institutional, s.held = string(h.Subnet), h.Institutional, h.Fragments
		t.count(s, 1)
	}
	return t
}

// count enters or takes out a peer that is in use.
func (t *tally) count(s *seat, by int) {
	t.subnets[s.subnet] += by
	t.inUse += by
	if s.institutional {
		t.inst += by
	}
}

// give places one copy of a fragment, unless the peer may not hold it. Caps are checked apart, when
// all is placed: how many institutions are allowed depends on all peers in use.
func (t *tally) give(fragment uint32, peer sdk.NodeID) error {
	s, piece := t.peers[peer], t.pieces[fragment]
	switch {
	case piece == nil:
		return broken(RuleUnknownFragment, "%d was not asked for", fragment)
	case t.wanted[fragment] == 0:
		return broken(RuleDuplicate, "fragment %d has all its %d copies", fragment, piece.Copies)
	}
	if err := t.mayHold(piece, peer); err != nil {
		return err
	}
	if s.fragments() == 0 {
		t.count(s, 1)
	}
	s.given = append(s.given, fragment)
	s.free -= min(s.free, piece.SizeBytes)
	t.wanted[fragment]--
	return nil
}

func (t *tally) mayHold(piece *sdk.Piece, peer sdk.NodeID) error {
	switch s := t.peers[peer]; {
	case s == nil || !s.candidate:
		return broken(RuleUnknownPeer, "%s is no candidate", peer.Short())
	case s.has(piece.Index):
		return broken(RuleDuplicate, "peer %s has fragment %d already", peer.Short(), piece.Index)
	case s.freeKnown && s.free < piece.SizeBytes:
		return broken(RuleFull, "peer %s has %s left, fragment %d is %s", peer.Short(), sdk.SizeText(s.free), piece.Index, sdk.SizeText(piece.SizeBytes))
	}
	return nil
}

// take undoes give.
func (t *tally) take(fragment uint32, peer sdk.NodeID) {
	s := t.peers[peer]
	s.given = slices.DeleteFunc(s.given, func(f uint32) bool { return f == fragment })
	s.free += t.pieces[fragment].SizeBytes
	t.wanted[fragment]++
	if s.fragments() == 0 {
		t.count(s, -1)
	}
}

// keepsCaps checks the caps for a peer that newly came into use. What was held before, and a peer
// that only takes more, cannot break them.
func (t *tally) keepsCaps(peer sdk.NodeID) error {
	s := t.peers[peer]
	if len(s.held) > 0 || len(s.given) == 0 {
		return nil
	}
	if t.overSubnetCap(s) && !t.yields {
		return broken(RuleSubnetCap, "%s has %d peers, at most %d are allowed", sdk.SubnetText([]byte(s.subnet)), t.subnets[s.subnet], t.caps.PerSubnet)
	}
	if limit := t.caps.InstitutionalLimit(t.inUse); s.institutional && t.inst > limit {
		return broken(RuleInstitutionalCap, "%d of %d peers are institutions, at most %d are allowed", t.inst, t.inUse, limit)
	}
	return nil
}

// overSubnetCap leaves out peers whose network is unknown: each counts as one of its own.
func (t *tally) overSubnetCap(s *seat) bool {
	return t.caps.PerSubnet > 0 && s.subnet != "" && t.subnets[s.subnet] > int(t.caps.PerSubnet)
}

// accept enters a whole answer, or tells which hard rule it breaks.
func (t *tally) accept(response *sdk.PlaceResponse) error {
	if len(response.Assignments) == 0 {
		return broken(RuleEmpty, "status OK, and nothing is placed")
	}
	for _, a := range response.Assignments {
		peer, err := candidateAt(t.request, a.GetCandidate())
		if err != nil {
			return err
		}
		if err := t.give(a.GetFragment(), peer); err != nil {
			return err
		}
	}
	if err := notesInRange(t.request, response.Notes); err != nil {
		return err
	}
	t.yields = response.SubnetCapYielded && t.request.SubnetCapMayYield()
	for _, a := range response.Assignments {
		peer := sdk.NodeID(t.request.Candidates[a.Candidate].Id)
		if err := t.keepsCaps(peer); err != nil {
			return err
		}
		if err := t.alternatesOf(a); err != nil {
			return err
		}
	}
	return nil
}

func notesInRange(asked *sdk.PlaceRequest, notes []*sdk.PeerNote) error {
	for _, n := range notes {
		if _, err := candidateAt(asked, n.GetCandidate()); err != nil {
			return err
		}
	}
	return nil
}

// anyOverSubnetCap tells whether a peer newly in use is over the subnet cap.
func (t *tally) anyOverSubnetCap() bool {
	for _, s := range t.peers {
		if len(s.held) == 0 && len(s.given) > 0 && t.overSubnetCap(s) {
			return true
		}
	}
	return false
}

func candidateAt(asked *sdk.PlaceRequest, position uint32) (sdk.NodeID, error) {
	if int64(position) >= int64(len(asked.Candidates)) {
		return sdk.NodeID{}, broken(RuleUnknownPeer, "position %d of %d candidates", position, len(asked.Candidates))
	}
	return sdk.NodeID(asked.Candidates[position].Id), nil
}

// alternatesOf checks that every alternate could hold the fragment. Caps are checked when one is
// used, against what is placed by then.
func (t *tally) alternatesOf(a *sdk.Assignment) error {
	seen := map[uint32]bool{a.Candidate: true}
	for _, position := range a.Alternates {
		peer, err := candidateAt(t.request, position)
		if err != nil {
			return err
		}
		if seen[position] {
			return broken(RuleDuplicate, "alternate %s of fragment %d", peer.Short(), a.Fragment)
		}
		seen[position] = true
		if err := t.mayHold(t.pieces[a.Fragment], peer); err != nil {
			return err
		}
	}
	return nil
}

// replace moves a fragment to another peer, if every rule allows it by now; else nothing changes.
func (t *tally) replace(fragment uint32, from, to sdk.NodeID) error {
	t.take(fragment, from)
	err := t.give(fragment, to)
	if err == nil {
		if err = t.keepsCaps(to); err == nil {
			return nil
		}
		t.take(fragment, to)
	}
	t.restore(fragment, from)
	return err
}

// beside gives one more copy of a fragment to a peer, if every rule allows it by now; else nothing changes.
func (t *tally) beside(fragment uint32, peer sdk.NodeID) error {
	t.wanted[fragment]++
	err := t.give(fragment, peer)
	if err == nil {
		if err = t.keepsCaps(peer); err == nil {
			return nil
		}
		t.take(fragment, peer)
	}
	t.wanted[fragment]--
	return err
}

// restore gives back what take took; that cannot break a rule.
func (t *tally) restore(fragment uint32, peer sdk.NodeID) {
	s := t.peers[peer]
	if s.fragments() == 0 {
		t.count(s, 1)
	}
	s.given = append(s.given, fragment)
	s.free -= min(s.free, t.pieces[fragment].SizeBytes)
	t.wanted[fragment]--
}
