package sdk

import "slices"

// Draft is a placement in the making. It keeps the host's hard rules, so that a decider has only to say
// whom it prefers:
//
//	d := sdk.NewDraft(request)
//	for _, piece := range request.Pieces {
//		for _, candidate := range mine(request) {
//			if d.Give(piece, candidate, "my reason") {
//				break
//			}
//		}
//	}
//	return d.Response("what I did")
//
// The subnet cap never yields in a draft: what cannot be placed under it is left out, to be placed later.
type Draft struct {
	request *PlaceRequest
	holds   [][]uint32 // by candidate: what it holds and is given
	free    []uint64   // by candidate
	subnets map[string]int
	inUse   int
	inst    int
	left    map[uint32]int // copies still wanted, by fragment
	out     []*Assignment
}

// NewDraft begins a placement. The request is only read.
func NewDraft(request *PlaceRequest) *Draft {
	n := len(request.GetCandidates())
	d := &Draft{
		request: request, holds: make([][]uint32, n), free: make([]uint64, n),
		subnets: map[string]int{}, left: map[uint32]int{},
	}
	held := map[string][]uint32{}
	for _, h := range request.GetHoldings() {
		if len(h.GetFragments()) > 0 {
			held[string(h.GetId())] = h.GetFragments()
			d.use(h.GetSubnet(), h.GetInstitutional())
		}
	}
	for i, c := range request.GetCandidates() {
		d.holds[i], d.free[i] = slices.Clone(held[string(c.GetId())]), c.GetFreeBytes()
	}
	for _, p := range request.GetPieces() {
		d.left[p.GetIndex()] = int(p.GetCopies())
	}
	return d
}

func (d *Draft) use(subnet []byte, institutional bool) {
	d.subnets[string(subnet)]++
	d.inUse++
	if institutional {
		d.inst++
	}
}

// Fits tells whether the host would let the candidate at that position have a copy of the piece.
func (d *Draft) Fits(piece *Piece, candidate int) bool {
	if candidate < 0 || candidate >= len(d.holds) || d.left[piece.GetIndex()] == 0 {
		return false
	}
	c, caps := d.request.Candidates[candidate], d.request.GetCaps()
	if slices.Contains(d.holds[candidate], piece.GetIndex()) || c.GetFreeBytes() > 0 && d.free[candidate] < piece.GetSizeBytes() {
		return false
	}
	if len(d.holds[candidate]) > 0 {
		return true // a peer that is in use counts already
	}
	full := caps.GetPerSubnet() > 0 && len(c.GetSubnet()) > 0 && d.subnets[string(c.GetSubnet())] >= int(caps.GetPerSubnet())
	return !full && (!c.GetInstitutional() || d.inst < caps.InstitutionalLimit(d.inUse+1))
}

// Give gives a copy of the piece to the candidate at that position, and tells whether it did.
func (d *Draft) Give(piece *Piece, candidate int, reason string) bool {
	if !d.Fits(piece, candidate) {
		return false
	}
	c := d.request.Candidates[candidate]
	if len(d.holds[candidate]) == 0 {
		d.use(c.GetSubnet(), c.GetInstitutional())
	}
	d.holds[candidate] = append(d.holds[candidate], piece.GetIndex())
	d.free[candidate] -= min(d.free[candidate], piece.GetSizeBytes())
	d.left[piece.GetIndex()]--
	d.out = append(d.out, &Assignment{Fragment: piece.GetIndex(), Candidate: uint32(candidate), Reason: reason})
	return true
}

// Load is how many fragments of the tessera the candidate has by now, those it held before included.
func (d *Draft) Load(candidate int) int { return len(d.holds[candidate]) }

// Left is how many copies of the piece have no peer yet.
func (d *Draft) Left(piece *Piece) int { return d.left[piece.GetIndex()] }

// Response is the answer: the placement with the peers that are left as alternates, those with the
// fewest fragments first, or DEFER with the reason where nobody could take anything.
func (d *Draft) Response(reason string) *PlaceResponse {
	if len(d.out) == 0 {
		return &PlaceResponse{Status: Status_DEFER, Reason: "no peer may take a fragment: " + reason}
	}
	sizes := map[uint32]uint64{}
	for _, p := range d.request.GetPieces() {
		sizes[p.GetIndex()] = p.GetSizeBytes()
	}
	order := d.byLoad()
	for _, a := range d.out {
		a.Alternates = d.alternates(a.Fragment, sizes[a.Fragment], order)
	}
	return &PlaceResponse{Status: Status_OK, Reason: reason, Assignments: d.out}
}

// mostAlternates keeps answers small.
const mostAlternates = 8

func (d *Draft) alternates(fragment uint32, size uint64, order []uint32) (out []uint32) {
	for _, i := range order {
		full := d.request.Candidates[i].GetFreeBytes() > 0 && d.free[i] < size
		if !full && !slices.Contains(d.holds[i], fragment) {
			if out = append(out, i); len(out) == mostAlternates {
				break
			}
		}
	}
	return out
}

// byLoad lists the candidates by fragments, then in their order by id: that of the list may be another.
func (d *Draft) byLoad() []uint32 {
	order := make([]uint32, len(d.holds))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if n := len(d.holds[a]) - len(d.holds[b]); n != 0 {
			return n
		}
		return slices.Compare(d.request.Candidates[a].GetId(), d.request.Candidates[b].GetId())
	})
	return order
}
