// Command fastest-first is a placement decider: fragments go to the peers that answer fastest, evenly.
package main

import (
	"cmp"
	"slices"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

type fastestFirst struct{ slowest uint64 } // ms

func (f *fastestFirst) options() *sdk.Options {
	return new(sdk.Options).Duration("slowest", &f.slowest, 0, "round trip beyond which a peer gets nothing; 0 takes everybody")
}

// Describe implements sdk.Describer.
func (f *fastestFirst) Describe() *sdk.Description {
	return &sdk.Description{Name: "fastest-first", Version: "1", Decider: true, Config: f.options().Keys()}
}

// Configure implements sdk.Configurer.
func (f *fastestFirst) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	return f.options().Configure(r)
}

// Place implements sdk.Placement.
func (f *fastestFirst) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	if len(q.Tessera) != sdk.IDSize {
		return &sdk.PlaceResponse{Status: sdk.Status_INVALID, Reason: "the tessera's id is not 32 bytes"}
	}
	draft, order := sdk.NewDraft(q), []int{}
	for i, c := range q.Candidates {
		if f.slowest == 0 || uint64(c.GetRoundTripMs()) <= f.slowest {
			order = append(order, i)
		}
	}
	for _, piece := range q.Pieces {
		// Whoever has the fewest fragments comes first, the faster of two, and by id where both are equal.
		slices.SortFunc(order, func(a, b int) int {
			x, y := q.Candidates[a], q.Candidates[b]
			return cmp.Or(draft.Load(a)-draft.Load(b), cmp.Compare(trip(x), trip(y)), slices.Compare(x.GetId(), y.GetId()))
		})
		for _, i := range order {
			if draft.Left(piece) > 0 {
				draft.Give(piece, i, "it answers within "+sdk.DurationText(trip(q.Candidates[i])))
			}
		}
	}
	return draft.Response("the fastest first")
}

// trip is the round trip in ms; a peer whose trip is unknown is not taken for a fast one.
func trip(c *sdk.Candidate) uint64 { return uint64(cmp.Or(c.GetRoundTripMs(), 10_000)) }

func init() { guest.Register(&fastestFirst{}) }

func main() { process.Main() }
