package policy

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// canonicalPlace checks a question and writes it in its one order: candidates and holdings by id,
// fragments by index, labels by key. So the same situation gives the same bytes, and a policy can
// rely on the order. Denied candidates, and those beyond the limit, are left out and named in notes.
// The caller's request is not touched.
func canonicalPlace(request *sdk.PlaceRequest, denied func(sdk.NodeID) string) (*sdk.PlaceRequest, []Note, error) {
	if request == nil || len(request.Tessera) != sdk.IDSize {
		return nil, nil, malformed("place: the tessera's id is not %d bytes", sdk.IDSize)
	}
	pieces, err := canonicalPieces(request.Pieces)
	if err != nil {
		return nil, nil, err
	}
	holdings, err := canonicalHoldings(request.Holdings)
	if err != nil {
		return nil, nil, err
	}
	candidates, notes, err := canonicalCandidates(request.Candidates, holdings, denied)
	if err != nil {
		return nil, nil, err
	}
	caps := request.Caps
	if caps == nil {
		caps = &sdk.Caps{}
	}
	return &sdk.PlaceRequest{
		Tessera: request.Tessera, Tier: request.Tier, DataShards: request.DataShards, ParityShards: request.ParityShards,
		Intent: request.Intent, Pieces: pieces, Holdings: holdings, Candidates: candidates, Caps: caps,
		NowUnixMs: request.NowUnixMs, Seed: request.Seed,
	}, notes, nil
}

func canonicalPieces(pieces []*sdk.Piece) ([]*sdk.Piece, error) {
	if len(pieces) == 0 || len(pieces) > sdk.MaxFragments {
		return nil, malformed("place: %d fragments, not 1 to %d", len(pieces), sdk.MaxFragments)
	}
	pieces = slices.Clone(pieces)
	slices.SortFunc(pieces, func(a, b *sdk.Piece) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
	for i, p := range pieces {
		if p == nil || p.Copies == 0 || p.Copies > sdk.MaxFragments {
			return nil, malformed("place: fragment %d asks for %d copies", p.GetIndex(), p.GetCopies())
		}
		if i > 0 && pieces[i-1].Index == p.Index {
			return nil, malformed("place: fragment %d stands there twice", p.Index)
		}
	}
	return pieces, nil
}

func canonicalHoldings(holdings []*sdk.Holding) ([]*sdk.Holding, error) {
	out := make([]*sdk.Holding, 0, len(holdings))
	for _, h := range holdings {
		if h == nil || len(h.Id) != sdk.IDSize {
			return nil, malformed("place: a holder's id is not %d bytes", sdk.IDSize)
		}
		fragments := slices.Clone(h.Fragments)
		slices.Sort(fragments)
		fragments = slices.Compact(fragments)
		if len(fragments) > sdk.MaxFragments {
			return nil, malformed("place: holder %s of %d fragments", sdk.ShortID(h.Id), len(fragments))
		}
		out = append(out, &sdk.Holding{
			Id: h.Id, Subnet: h.Subnet, Operator: strings.ToValidUTF8(h.Operator, "?"), Institutional: h.Institutional,
			Fragments: fragments,
		})
	}
	slices.SortFunc(out, func(a, b *sdk.Holding) int { return bytes.Compare(a.Id, b.Id) })
	for i := 1; i < len(out); i++ {
		if bytes.Equal(out[i-1].Id, out[i].Id) {
			return nil, malformed("place: holder %s stands there twice", sdk.ShortID(out[i].Id))
		}
	}
	return out, nil
}

func canonicalCandidates(candidates []*sdk.Candidate, holdings []*sdk.Holding, denied func(sdk.NodeID) string) ([]*sdk.Candidate, []Note, error) {
	var notes []Note
	out := make([]*sdk.Candidate, 0, len(candidates))
	for _, c := range candidates {
		if c == nil || len(c.Id) != sdk.IDSize {
			return nil, nil, malformed("place: a candidate's id is not %d bytes", sdk.IDSize)
		}
		if why := denied(sdk.NodeID(c.Id)); why != "" {
			notes = append(notes, Note{sdk.NodeID(c.Id), "denied: " + Clean(why)})
			continue
		}
		out = append(out, canonicalCandidate(c))
	}
	slices.SortFunc(out, func(a, b *sdk.Candidate) int { return bytes.Compare(a.Id, b.Id) })
	for i := 1; i < len(out); i++ {
		if bytes.Equal(out[i-1].Id, out[i].Id) {
			return nil, nil, malformed("place: candidate %s stands there twice", sdk.ShortID(out[i].Id))
		}
	}
	out, tooMany := nearest(out, holdings)
	return out, append(notes, tooMany...), nil
}

// canonicalCandidate copies a candidate; its labels are in order, its texts are UTF-8, as proto3 asks,
// and its score is the guards' to give.
func canonicalCandidate(c *sdk.Candidate) *sdk.Candidate {
	out := &sdk.Candidate{
		Id: c.Id, Subnet: c.Subnet, Operator: strings.ToValidUTF8(c.Operator, "?"), Country: strings.ToValidUTF8(c.Country, "?"),
		Institutional: c.Institutional, Nearness: c.Nearness, FreeBytes: c.FreeBytes, BalanceBytes: c.BalanceBytes,
		ProofSuccessPpm: c.ProofSuccessPpm, ProofsAsked: c.ProofsAsked, UptimePpm: c.UptimePpm,
		RoundTripMs: c.RoundTripMs, AgeS: c.AgeS,
	}
	for _, l := range c.Labels {
		out.Labels = append(out.Labels, &sdk.Label{
			Key: strings.ToValidUTF8(l.GetKey(), "?"), Value: strings.ToValidUTF8(l.GetValue(), "?"),
		})
	}
	slices.SortStableFunc(out.Labels, func(a, b *sdk.Label) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// nearest keeps the limit: holders first, then the peers nearest to the tessera. It expects and
// returns candidates by id.
func nearest(candidates []*sdk.Candidate, holdings []*sdk.Holding) ([]*sdk.Candidate, []Note) {
	if len(candidates) <= sdk.MaxCandidates {
		return candidates, nil
	}
	far := func(c *sdk.Candidate) int {
		_, holds := slices.BinarySearchFunc(holdings, c.Id, func(h *sdk.Holding, id []byte) int { return bytes.Compare(h.Id, id) })
		if holds {
			return -257
		}
		return -int(min(c.Nearness, 256))
	}
	slices.SortStableFunc(candidates, func(a, b *sdk.Candidate) int { return cmp.Compare(far(a), far(b)) })
	var notes []Note
	for _, c := range candidates[sdk.MaxCandidates:] {
		notes = append(notes, Note{sdk.NodeID(c.Id), "not asked about: farther from the tessera than the candidates a policy is asked about at a time"})
	}
	candidates = candidates[:sdk.MaxCandidates]
	slices.SortFunc(candidates, func(a, b *sdk.Candidate) int { return bytes.Compare(a.Id, b.Id) })
	return candidates, notes
}
