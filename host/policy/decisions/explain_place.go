package decisions

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// placing is a recorded placement, taken apart.
type placing struct {
	asked    *sdk.PlaceRequest // of the deciders; of the guards where those ended it
	question *sdk.PlaceRequest // with everybody who was known
	answer   *sdk.PlaceResponse
	because  map[sdk.NodeID][]Because
}

func (x *Explanation) placement(d policy.Decision, moves []policy.Move) error {
	p, err := readPlacing(d)
	if err != nil {
		return err
	}
	x.Subject = fmt.Sprintf("where to put %s of tessera %s, %s of which rebuild it; %s known",
		amount(p.asked.Copies(), "fragment"), sdk.ShortID(p.asked.Tessera), fmt.Sprint(max(1, p.asked.DataShards)), amount(len(p.question.Candidates), "peer"))
	x.Placed = p.placed(moves)
	x.Unplaced = p.unplaced()
	p.guards(d)
	p.decider(d)
	x.PassedOver = p.passedOver(d)
	return nil
}

// readPlacing reads what was asked and answered. An answer counts only where it is one.
func readPlacing(d policy.Decision) (*placing, error) {
	p := &placing{asked: &sdk.PlaceRequest{}, answer: &sdk.PlaceResponse{}, because: map[sdk.NodeID][]Because{}}
	if err := p.asked.UnmarshalVT(d.Request); err != nil {
		return nil, err
	}
	p.question = p.asked
	if d.Question != nil {
		p.question = &sdk.PlaceRequest{}
		if err := p.question.UnmarshalVT(d.Question); err != nil {
			return nil, err
		}
	}
	if d.Response == nil {
		return p, nil
	}
	part := policy.PartDecider
	if p.asked.Guarding {
		part = policy.PartGuard
	}
	if _, err := policy.Check(d.Role, part, d.Request, d.Response); err != nil {
		return nil, err
	}
	return p, p.answer.UnmarshalVT(d.Response)
}

func (p *placing) placed(moves []policy.Move) []Placed {
	var out []Placed
	for _, a := range p.answer.Assignments {
		c := p.asked.Candidates[a.Candidate]
		placed := Placed{Fragment: a.Fragment, Peer: sdk.NodeID(c.Id), Network: network(c), Why: policy.Clean(a.Reason)}
		at := placed.Peer
		for _, m := range moves { // copies of a fragment are on different peers, so the trail is this copy's
			if m.Fragment == a.Fragment && m.From == at {
				placed.Moves = append(placed.Moves, m)
				at = m.To
			}
		}
		out = append(out, placed)
	}
	slices.SortStableFunc(out, func(a, b Placed) int { return cmp.Compare(a.Fragment, b.Fragment) })
	return out
}

func (p *placing) unplaced() []Unplaced {
	left := map[uint32]int{}
	for _, piece := range p.asked.Pieces {
		left[piece.Index] = int(piece.Copies)
	}
	for _, a := range p.answer.Assignments {
		left[a.Fragment]--
	}
	var out []Unplaced
	for _, piece := range p.asked.Pieces {
		if n := left[piece.Index]; n > 0 {
			out = append(out, Unplaced{piece.Index, n})
		}
	}
	return out
}

func network(c *sdk.Candidate) string {
	if len(c.Subnet) == 0 {
		return ""
	}
	return sdk.SubnetText(c.Subnet)
}

// guards takes in what the guards said about peers.
func (p *placing) guards(d policy.Decision) {
	for _, s := range d.Steps {
		var a sdk.PlaceResponse
		if s.Part != policy.PartGuard || s.Outcome == policy.Passed || s.Response == nil || a.UnmarshalVT(s.Response) != nil {
			continue
		}
		for _, n := range a.Notes {
			if int(n.Candidate) >= len(p.question.Candidates) {
				continue
			}
			peer := sdk.NodeID(p.question.Candidates[n.Candidate].Id)
			why := cmp.Or(policy.Clean(n.Reason), "no reason given")
			switch {
			case n.Excluded:
				p.because[peer] = append(p.because[peer], Because{s.Policy, "excluded: " + why})
			case n.Score < 0:
				p.because[peer] = append(p.because[peer], Because{s.Policy, fmt.Sprintf("scored %d: %s", n.Score, why)})
			}
		}
	}
}

// decider takes in what the decider said about peers; where it said nothing, the facts have to do.
func (p *placing) decider(d policy.Decision) {
	if p.asked.Guarding || d.Response == nil {
		return
	}
	for _, n := range p.answer.Notes {
		if n.Reason != "" {
			peer := sdk.NodeID(p.asked.Candidates[n.Candidate].Id)
			p.because[peer] = append(p.because[peer], Because{d.Policy, policy.Clean(n.Reason)})
		}
	}
	facts := newFacts(p.asked, p.answer)
	for _, c := range p.asked.Candidates {
		if peer := sdk.NodeID(c.Id); len(p.because[peer]) == 0 {
			p.because[peer] = []Because{facts.because(c, d.Policy)}
		}
	}
}

// passedOver lists who got nothing: candidates, and those the host left out before anybody was asked.
func (p *placing) passedOver(d policy.Decision) []PassedOver {
	got := map[sdk.NodeID]bool{}
	for _, a := range p.answer.Assignments {
		got[sdk.NodeID(p.asked.Candidates[a.Candidate].Id)] = true
	}
	var out []PassedOver
	for _, c := range p.question.Candidates {
		if len(c.Id) == sdk.IDSize && !got[sdk.NodeID(c.Id)] {
			out = append(out, PassedOver{sdk.NodeID(c.Id), network(c), p.because[sdk.NodeID(c.Id)]})
		}
	}
	for _, n := range d.Notes {
		out = append(out, PassedOver{Peer: n.Peer, Because: []Because{{host, n.Reason}}})
	}
	slices.SortStableFunc(out, func(a, b PassedOver) int { return bytes.Compare(a.Peer[:], b.Peer[:]) })
	return out
}

// facts are what can be told of a placement without its policy.
type facts struct {
	asked         *sdk.PlaceRequest
	held          map[string][]uint32 // fragments by holder
	nets          map[string]int      // peers in use, by network
	inUse, inst   int
	perSubnet     int
	institutional int // most institutions allowed, were there one more peer
}

func newFacts(asked *sdk.PlaceRequest, answer *sdk.PlaceResponse) *facts {
	f := &facts{asked: asked, held: map[string][]uint32{}, nets: map[string]int{}, perSubnet: int(asked.GetCaps().GetPerSubnet())}
	use := func(subnet []byte, institutional bool) {
		f.nets[string(subnet)]++
		f.inUse++
		if institutional {
			f.inst++
		}
	}
	for _, h := range asked.Holdings {
		if len(h.Fragments) > 0 {
			f.held[string(h.Id)] = h.Fragments
			use(h.Subnet, h.Institutional)
		}
	}
	opened := map[uint32]bool{}
	for _, a := range answer.Assignments {
		c := asked.Candidates[a.Candidate]
		if f.held[string(c.Id)] == nil && !opened[a.Candidate] {
			opened[a.Candidate] = true
			use(c.Subnet, c.Institutional)
		}
	}
	f.institutional = asked.GetCaps().InstitutionalLimit(f.inUse + 1)
	return f
}

// because says what kept a peer out, as far as it shows.
func (f *facts) because(c *sdk.Candidate, decider string) Because {
	smallest, found := uint64(0), false
	for _, p := range f.asked.Pieces {
		if !slices.Contains(f.held[string(c.Id)], p.Index) && (!found || p.SizeBytes < smallest) {
			smallest, found = p.SizeBytes, true
		}
	}
	holds := f.held[string(c.Id)] != nil
	switch {
	case !found:
		return Because{host, "it holds every fragment asked for already"}
	case c.FreeBytes > 0 && c.FreeBytes < smallest:
		return Because{host, "full: " + sdk.SizeText(c.FreeBytes) + " free, a fragment is " + sdk.SizeText(smallest)}
	case !holds && len(c.Subnet) > 0 && f.perSubnet > 0 && f.nets[string(c.Subnet)] >= f.perSubnet:
		return Because{host, fmt.Sprintf("subnet cap: %s has %s of this tessera", network(c), amount(f.nets[string(c.Subnet)], "peer"))}
	case !holds && c.Institutional && f.inst+1 > f.institutional:
		return Because{host, fmt.Sprintf("institutional cap: %d of the %s of this tessera are institutions", f.inst, amount(f.inUse, "peer"))}
	}
	return Because{cmp.Or(decider, host), "no reason given"}
}
