package sdk

import (
	"cmp"
	"slices"
)

// PPM is the whole, where shares are in parts per million.
const PPM = 1_000_000

// InstitutionalPPM is the default share of a tessera's peers that may be institutional: one in
// three and a half, cut to whole parts so that rounding up a multiple of 3.5 stays exact.
const InstitutionalPPM = 285_714

// InstitutionalLimit is how many of a tessera's peers may be institutional: their share of peers,
// rounded up. Without a cap it is peers.
func (x *Caps) InstitutionalLimit(peers int) int {
	ppm := uint64(x.GetInstitutionalPpm())
	if ppm == 0 || ppm >= PPM {
		return peers
	}
	return int((uint64(peers)*ppm + PPM - 1) / PPM)
}

// Reach is how far the candidates of a request go under its caps.
type Reach struct {
	Peers int // most distinct peers the tessera can be on, those it is on already included
	Slots int // fragments that could be placed on them, at one copy a peer and within their free space
}

// Copies is how many holders the request asks for in all.
func (x *PlaceRequest) Copies() int {
	n := 0
	for _, p := range x.GetPieces() {
		n += int(p.GetCopies())
	}
	return n
}

// Reach counts the peers that can be used with at most perSubnet of each subnet (0: any number) and
// the request's institutional cap. Candidates for whose position except is true are left out; except
// may be nil.
func (x *PlaceRequest) Reach(perSubnet uint32, except func(candidate int) bool) Reach {
	c := newCapCount(x, perSubnet)
	var plain, institutional []roomy
	for i, candidate := range x.GetCandidates() {
		if except != nil && except(i) {
			continue
		}
		slots := c.slots(candidate)
		switch {
		case slots == 0:
		case c.holders[string(candidate.GetId())] != nil:
			c.found.Slots += slots
		case candidate.GetInstitutional():
			institutional = append(institutional, roomy{string(candidate.GetSubnet()), slots})
		default:
			plain = append(plain, roomy{string(candidate.GetSubnet()), slots})
		}
	}
	c.open(plain, len(plain))
	c.open(institutional, c.institutionsAllowed(len(institutional)))
	c.found.Peers = min(c.found.Peers, c.held+x.Copies())
	return c.found
}

// SubnetCapMayYield tells whether the subnet cap may give way for this request: there is no other
// way to reach the wanted number of peers, or to place every fragment, and giving way helps. A
// strict cap never yields. Host and policy both go by this, so they cannot disagree.
func (x *PlaceRequest) SubnetCapMayYield() bool {
	caps := x.GetCaps()
	if caps.GetStrict() || caps.GetPerSubnet() == 0 {
		return false
	}
	under := x.Reach(caps.GetPerSubnet(), nil)
	fewPeers, fewSlots := under.Peers < int(caps.GetReplicas()), under.Slots < x.Copies()
	if !fewPeers && !fewSlots {
		return false
	}
	without := x.Reach(0, nil)
	return fewPeers && under.Peers < without.Peers || fewSlots && under.Slots < without.Slots
}

// capCount opens peers one by one and counts what the caps leave.
type capCount struct {
	request   *PlaceRequest
	pieces    []*Piece // smallest first, so that what fits does not hang on their order
	perSubnet int
	holders   map[string]*Holding // those that hold something, by id
	subnets   map[string]int      // peers in use, by subnet
	held      int                 // peers in use before
	inst      int                 // of those in use, institutional
	found     Reach
}

func newCapCount(x *PlaceRequest, perSubnet uint32) *capCount {
	c := &capCount{
		request: x, pieces: slices.Clone(x.GetPieces()), perSubnet: int(perSubnet),
		holders: map[string]*Holding{}, subnets: map[string]int{},
	}
	slices.SortStableFunc(c.pieces, func(a, b *Piece) int { return cmp.Compare(a.GetSizeBytes(), b.GetSizeBytes()) })
	for _, h := range x.GetHoldings() {
		if len(h.GetFragments()) == 0 {
			continue
		}
		c.holders[string(h.GetId())] = h
		c.subnets[string(h.GetSubnet())]++
		c.held++
		if h.GetInstitutional() {
			c.inst++
		}
	}
	c.found.Peers = c.held
	return c
}

// slots is how many of the pieces the candidate could take.
func (c *capCount) slots(candidate *Candidate) int {
	holding, left := c.holders[string(candidate.GetId())], candidate.GetFreeBytes()
	known, n := left > 0, 0
	for _, p := range c.pieces {
		if known && p.GetSizeBytes() > left || slices.Contains(holding.GetFragments(), p.GetIndex()) {
			continue
		}
		n++
		left -= min(left, p.GetSizeBytes())
	}
	return n
}

// roomy is a peer not in use yet, and the fragments it could take.
type roomy struct {
	subnet string
	slots  int
}

// open takes up to limit of the peers that their subnets still allow, the roomiest first.
func (c *capCount) open(peers []roomy, limit int) {
	slices.SortStableFunc(peers, func(a, b roomy) int { return cmp.Compare(b.slots, a.slots) })
	for _, p := range peers {
		if limit == 0 {
			return
		}
		if p.subnet != "" && c.perSubnet > 0 && c.subnets[p.subnet] >= c.perSubnet {
			continue
		}
		c.subnets[p.subnet]++
		c.found.Peers++
		c.found.Slots += p.slots
		limit--
	}
}

// institutionsAllowed is how many of so many institutions may join the peers counted so far. They
// are counted last: the more others there are, the more institutions are allowed.
func (c *capCount) institutionsAllowed(available int) int {
	n := 0
	for n < available && c.inst+n+1 <= c.request.GetCaps().InstitutionalLimit(c.found.Peers+n+1) {
		n++
	}
	return n
}
