package policytest

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// Rules holds an answer against the contract and the hard rules of sdk/ABI.md, nil if it keeps them. It
// is a second statement of what the host enforces, in the plainest terms; the host's own tests hold the
// two against each other.
func Rules(role sdk.Role, guard bool, request, response []byte) error {
	switch role {
	case sdk.RolePlacement:
		q, a := &sdk.PlaceRequest{}, &sdk.PlaceResponse{}
		if err := decode(q, request, a, response); err != nil {
			return err
		}
		return placeRules(q, a, guard)
	case sdk.RoleReciprocity:
		q, a := &sdk.AdmitRequest{}, &sdk.AdmitResponse{}
		if err := decode(q, request, a, response); err != nil {
			return err
		}
		return admitRules(q, a, guard)
	case sdk.RoleRepair:
		q, a := &sdk.RepairRequest{}, &sdk.RepairResponse{}
		if err := decode(q, request, a, response); err != nil {
			return err
		}
		return repairRules(q, a, guard)
	}
	return sdk.ErrRole
}

type decodable interface{ UnmarshalVT([]byte) error }

func decode(q decodable, request []byte, a decodable, response []byte) error {
	if err := q.UnmarshalVT(request); err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	if len(response) > sdk.MaxResponse {
		return fmt.Errorf("an answer of %d bytes, at most %d are read", len(response), sdk.MaxResponse)
	}
	if err := a.UnmarshalVT(response); err != nil {
		return fmt.Errorf("the answer is none: %w", err)
	}
	return nil
}

// statusRules tells whether there is more to look at.
func statusRules(status sdk.Status, reason string) (more bool, err error) {
	switch status {
	case sdk.Status_OK:
		return true, nil
	case sdk.Status_PASS:
		return false, nil
	case sdk.Status_DEFER:
		if reason == "" {
			return false, fmt.Errorf("it defers without a reason")
		}
		return false, nil
	case sdk.Status_INVALID:
		return false, fmt.Errorf("it does not understand a well-formed question: %s", reason)
	}
	return false, fmt.Errorf("status %d: every answer opens with one of OK, PASS, DEFER, INVALID", int32(status))
}

func placeRules(q *sdk.PlaceRequest, a *sdk.PlaceResponse, guard bool) error {
	more, err := statusRules(a.Status, a.Reason)
	if err != nil || a.Status == sdk.Status_PASS {
		return err
	}
	for _, n := range a.Notes {
		if int64(n.GetCandidate()) >= int64(len(q.Candidates)) {
			return fmt.Errorf("a note about candidate %d, there are %d", n.GetCandidate(), len(q.Candidates))
		}
	}
	switch {
	case guard && (len(a.Assignments) > 0 || a.SubnetCapYielded):
		return fmt.Errorf("a guard places nothing")
	case guard && a.Caps.GetReplicas() != 0 && a.Caps.GetReplicas() != q.Caps.GetReplicas():
		return fmt.Errorf("a guard does not change how many peers are wanted")
	case guard || !more:
		return nil
	case len(a.Assignments) == 0:
		return fmt.Errorf("status OK, and nothing is placed: DEFER says so with a reason")
	}
	return newBoard(q).check(a)
}

// board is who holds what.
type board struct {
	q      *sdk.PlaceRequest
	pieces map[uint32]*sdk.Piece
	copies map[uint32]uint32   // given
	held   map[string][]uint32 // by peer, before
	given  map[string][]uint32 // by peer
	bytes  map[string]uint64   // given, by peer
}

func newBoard(q *sdk.PlaceRequest) *board {
	b := &board{q, map[uint32]*sdk.Piece{}, map[uint32]uint32{}, map[string][]uint32{}, map[string][]uint32{}, map[string]uint64{}}
	for _, p := range q.Pieces {
		b.pieces[p.Index] = p
	}
	for _, h := range q.Holdings {
		if len(h.Fragments) > 0 {
			b.held[string(h.Id)] = h.Fragments
		}
	}
	return b
}

func (b *board) check(a *sdk.PlaceResponse) error {
	for _, x := range a.Assignments {
		if err := b.give(x); err != nil {
			return err
		}
	}
	for _, x := range a.Assignments {
		if err := b.alternates(x); err != nil {
			return err
		}
	}
	return b.caps(a.SubnetCapYielded && b.q.SubnetCapMayYield())
}

// room tells why a candidate may not hold a piece, nil if it may.
func (b *board) room(candidate uint32, p *sdk.Piece) error {
	if int64(candidate) >= int64(len(b.q.Candidates)) {
		return fmt.Errorf("candidate %d is named, there are %d", candidate, len(b.q.Candidates))
	}
	c := b.q.Candidates[candidate]
	switch {
	case slices.Contains(b.held[string(c.Id)], p.Index) || slices.Contains(b.given[string(c.Id)], p.Index):
		return fmt.Errorf("fragment %d would be twice on candidate %d", p.Index, candidate)
	case c.FreeBytes > 0 && c.FreeBytes < b.bytes[string(c.Id)]+p.SizeBytes:
		return fmt.Errorf("candidate %d has no room for fragment %d", candidate, p.Index)
	}
	return nil
}

func (b *board) give(x *sdk.Assignment) error {
	p := b.pieces[x.GetFragment()]
	if p == nil {
		return fmt.Errorf("fragment %d was not asked for", x.GetFragment())
	}
	if err := b.room(x.GetCandidate(), p); err != nil {
		return err
	}
	if b.copies[p.Index]++; b.copies[p.Index] > p.Copies {
		return fmt.Errorf("fragment %d is placed more often than the %d times asked for", p.Index, p.Copies)
	}
	id := string(b.q.Candidates[x.Candidate].Id)
	b.given[id] = append(b.given[id], p.Index)
	b.bytes[id] += p.SizeBytes
	return nil
}

func (b *board) alternates(x *sdk.Assignment) error {
	seen := []uint32{x.Candidate}
	for _, candidate := range x.Alternates {
		if slices.Contains(seen, candidate) {
			return fmt.Errorf("alternate %d of fragment %d is named twice", candidate, x.Fragment)
		}
		seen = append(seen, candidate)
		if err := b.room(candidate, b.pieces[x.Fragment]); err != nil {
			return fmt.Errorf("as an alternate: %w", err)
		}
	}
	return nil
}

// caps looks at the peers that newly came into use: what was held before breaks nothing.
func (b *board) caps(yields bool) error {
	subnets, inUse, institutions := map[string]int{}, 0, 0
	count := func(subnet []byte, institutional bool) {
		subnets[string(subnet)]++
		inUse++
		if institutional {
			institutions++
		}
	}
	for _, h := range b.q.Holdings {
		if len(h.Fragments) > 0 {
			count(h.Subnet, h.Institutional)
		}
	}
	var opened []*sdk.Candidate
	for _, c := range b.q.Candidates {
		if len(b.given[string(c.Id)]) > 0 && len(b.held[string(c.Id)]) == 0 {
			opened = append(opened, c)
			count(c.Subnet, c.Institutional)
		}
	}
	most, limit := int(b.q.Caps.GetPerSubnet()), b.q.Caps.InstitutionalLimit(inUse)
	for _, c := range opened {
		if n := subnets[string(c.Subnet)]; most > 0 && len(c.Subnet) > 0 && n > most && !yields {
			return fmt.Errorf("%s has %d peers, at most %d are allowed", sdk.SubnetText(c.Subnet), n, most)
		}
		if c.Institutional && institutions > limit {
			return fmt.Errorf("%d of %d peers are institutions, at most %d are allowed", institutions, inUse, limit)
		}
	}
	return nil
}

func admitRules(q *sdk.AdmitRequest, a *sdk.AdmitResponse, guard bool) error {
	more, err := statusRules(a.Status, a.Reason)
	if err != nil || !more {
		return err
	}
	switch a.Verdict {
	case sdk.AdmitResponse_REFUSE, sdk.AdmitResponse_LATER:
		if a.Reason == "" {
			return fmt.Errorf("it does not accept, and gives no reason")
		}
		return nil
	case sdk.AdmitResponse_ACCEPT:
		if !guard {
			return acceptRules(q, a)
		}
	case sdk.AdmitResponse_VERDICT_UNSPECIFIED:
		if !guard {
			return fmt.Errorf("status OK without a verdict")
		}
	default:
		return fmt.Errorf("verdict %d", int32(a.Verdict))
	}
	if a.Custody {
		return fmt.Errorf("a guard does not give away the custody budget")
	}
	return nil
}

func acceptRules(q *sdk.AdmitRequest, a *sdk.AdmitResponse) error {
	need, overflow := bits.Add64(q.SizeBytes, q.MinFreeBytes, 0)
	stored, many := bits.Add64(q.StoredForThem, q.SizeBytes, 0)
	if many > 0 {
		stored = math.MaxUint64
	}
	debt := stored - min(stored, q.TheyStoreForUs)
	switch {
	case overflow > 0 || need > q.FreeBytes:
		return fmt.Errorf("it accepts %s, %s are free, and %s are to stay free", sdk.SizeText(q.SizeBytes), sdk.SizeText(q.FreeBytes), sdk.SizeText(q.MinFreeBytes))
	case a.Custody && (q.Purpose != sdk.Purpose_CUSTODY || !q.SenderProved):
		return fmt.Errorf("the custody budget is for repairs whose sender proved a fragment")
	case q.GrantBytes > 0 && !q.Institutional && !a.Custody && debt > q.GrantBytes:
		return fmt.Errorf("it accepts a debt of %s, guards grant %s", sdk.SizeText(debt), sdk.SizeText(q.GrantBytes))
	}
	return nil
}

func repairRules(q *sdk.RepairRequest, a *sdk.RepairResponse, guard bool) error {
	more, err := statusRules(a.Status, a.Reason)
	switch {
	case err != nil:
		return err
	case guard && a.Status == sdk.Status_DEFER:
		return fmt.Errorf("a guard does not put repairs off")
	case !more:
		return nil
	}
	seen := map[uint32]bool{}
	for _, o := range a.Orders {
		switch {
		case int64(o.GetTessera()) >= int64(len(q.Tesseras)):
			return fmt.Errorf("tessera %d is ordered, there are %d", o.GetTessera(), len(q.Tesseras))
		case seen[o.Tessera]:
			return fmt.Errorf("tessera %d is ordered twice", o.Tessera)
		case guard && (o.WaitMs > 0 || o.Rebuild > 0):
			return fmt.Errorf("a guard raises priorities and does no more")
		}
		seen[o.Tessera] = true
	}
	for _, n := range a.Notes {
		if int64(n.GetTessera()) >= int64(len(q.Tesseras)) {
			return fmt.Errorf("a note about tessera %d, there are %d", n.GetTessera(), len(q.Tesseras))
		}
	}
	return nil
}

// compareMargins is the order in which the host asks about tesseras.
func compareMargins(a, b *sdk.TesseraHealth) int {
	return cmp.Or(
		cmp.Compare(a.SurvivesPeers, b.SurvivesPeers), cmp.Compare(a.SurvivesSubnets, b.SurvivesSubnets),
		cmp.Compare(a.SurvivesOperators, b.SurvivesOperators), slices.Compare(a.Tessera, b.Tessera))
}
