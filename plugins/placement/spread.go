// Package placement answers: which peers shall hold which fragments?
//
// Its policy, Spread, maximises what may be lost: first distinct peers, then distinct networks, then
// distinct operators. It is plain integer arithmetic over the request, so that it gives the same
// answer natively, as WASM and as a process, on every machine.
package placement

import (
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// Name is what configurations and logs call the policy.
const Name = "spread"

// Version changes whenever the same request may get another answer.
const Version = "2"

// Spread is the default placement policy. It has no settings and keeps no state.
type Spread struct{}

var (
	_ sdk.Placement = Spread{}
	_ sdk.Describer = Spread{}
)

// Describe implements sdk.Describer.
func (Spread) Describe() *sdk.Description {
	return &sdk.Description{Name: Name, Version: Version, Places: true, Decider: true}
}

// Place implements sdk.Placement.
func (Spread) Place(request *sdk.PlaceRequest) *sdk.PlaceResponse {
	if wrong := malformed(request); wrong != "" {
		return &sdk.PlaceResponse{Status: sdk.Status_INVALID, Reason: wrong}
	}
	t := newTable(request)
	r := t.decide()
	if len(r.picks) == 0 {
		return &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: r.nobody(), Notes: r.notes()}
	}
	r.settle()
	return &sdk.PlaceResponse{
		Status:           sdk.Status_OK,
		Reason:           r.summary(),
		Assignments:      r.assignments(),
		Notes:            r.notes(),
		SubnetCapYielded: r.yielded(),
	}
}

// malformed tells what is wrong with a request, "" if nothing is.
func malformed(request *sdk.PlaceRequest) string {
	if len(request.GetTessera()) != sdk.IDSize {
		return "the tessera's id is not 32 bytes"
	}
	if wrong := malformedPieces(request.GetPieces()); wrong != "" {
		return wrong
	}
	if len(request.GetCandidates()) > sdk.MaxCandidates {
		return "more than " + strconv.Itoa(sdk.MaxCandidates) + " candidates"
	}
	seen := map[string]bool{}
	for _, c := range request.GetCandidates() {
		if len(c.GetId()) != sdk.IDSize || seen[string(c.GetId())] {
			return "a candidate's id is not 32 bytes, or stands there twice"
		}
		seen[string(c.GetId())] = true
	}
	clear(seen)
	for _, h := range request.GetHoldings() {
		if len(h.GetId()) != sdk.IDSize || seen[string(h.GetId())] {
			return "a holder's id is not 32 bytes, or stands there twice"
		}
		if len(h.GetFragments()) > sdk.MaxFragments {
			return "a holder of more than " + strconv.Itoa(sdk.MaxFragments) + " fragments"
		}
		seen[string(h.GetId())] = true
	}
	return ""
}

func malformedPieces(pieces []*sdk.Piece) string {
	if len(pieces) == 0 || len(pieces) > sdk.MaxFragments {
		return "there are " + strconv.Itoa(len(pieces)) + " fragments to place, not 1 to " + strconv.Itoa(sdk.MaxFragments)
	}
	seen := map[uint32]bool{}
	for _, p := range pieces {
		if seen[p.GetIndex()] {
			return "fragment " + strconv.Itoa(int(p.GetIndex())) + " stands there twice"
		}
		if p.GetCopies() == 0 || p.GetCopies() > sdk.MaxFragments {
			return "fragment " + strconv.Itoa(int(p.GetIndex())) + " asks for " + strconv.Itoa(int(p.GetCopies())) + " copies"
		}
		seen[p.GetIndex()] = true
	}
	return ""
}
