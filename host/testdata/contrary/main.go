// Command contrary is a policy that decides otherwise than the default ones, so that one can see who
// was asked. As a guard of placements it keeps fragments from the peers in its settings.
package main

import (
	"encoding/hex"
	"slices"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

type contrary struct{ avoid []string }

func (c *contrary) Describe() *sdk.Description {
	return &sdk.Description{Name: "contrary", Version: "7", Guard: true, Decider: true, Config: []*sdk.ConfigKey{
		{Key: "avoid", Kind: "text", List: true},
		{Key: "mood", Kind: "text", DefaultValue: "bad", Allowed: []string{"bad", "worse"}},
	}}
}

func (c *contrary) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	for _, s := range r.Settings {
		if s.Key == "avoid" {
			c.avoid = s.Values
		}
	}
	return &sdk.ConfigureResponse{Status: sdk.Status_OK}
}

// Place spreads over the first seven peers by id. The candidates come in that order.
func (c *contrary) Place(r *sdk.PlaceRequest) *sdk.PlaceResponse {
	if r.Guarding {
		return c.guard(r)
	}
	peers := min(7, len(r.Candidates))
	if peers == 0 {
		return &sdk.PlaceResponse{Status: sdk.Status_DEFER, Reason: "nobody is there"}
	}
	out := &sdk.PlaceResponse{Status: sdk.Status_OK, Reason: "by the alphabet"}
	for i, p := range r.Pieces {
		for copied := range min(int(p.Copies), peers) {
			out.Assignments = append(out.Assignments, &sdk.Assignment{Fragment: p.Index, Candidate: uint32((i + copied) % peers), Reason: "its turn"})
		}
	}
	return out
}

func (c *contrary) guard(r *sdk.PlaceRequest) *sdk.PlaceResponse {
	out := &sdk.PlaceResponse{Status: sdk.Status_OK}
	for i, candidate := range r.Candidates {
		if slices.Contains(c.avoid, hex.EncodeToString(candidate.Id)) {
			out.Notes = append(out.Notes, &sdk.PeerNote{Candidate: uint32(i), Excluded: true, Reason: "on the list"})
		}
	}
	return out
}

// Admit takes nothing.
func (c *contrary) Admit(*sdk.AdmitRequest) *sdk.AdmitResponse {
	return &sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_REFUSE, Reason: "closed for lunch"}
}

// Repair waits.
func (c *contrary) Repair(r *sdk.RepairRequest) *sdk.RepairResponse {
	out := &sdk.RepairResponse{Status: sdk.Status_OK}
	for i := range r.Tesseras {
		out.Orders = append(out.Orders, &sdk.RepairOrder{Tessera: uint32(i), WaitMs: 3_600_000, Reason: "after lunch"})
	}
	return out
}

func init() { guest.Register(&contrary{}) }

func main() { process.Main() }
