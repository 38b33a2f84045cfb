// Command keep-out is a placement guard: nothing goes to networks an operator has named, nor to peers
// this node has known only for a short time.
package main

import (
	"slices"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

type keepOut struct {
	networks []string
	minAge   uint64 // ms
}

func (k *keepOut) options() *sdk.Options {
	return new(sdk.Options).
		Texts("networks", &k.networks, `networks that get nothing, such as "198.51.100.0/24"`).
		Duration("min_age", &k.minAge, 0, "how long a peer has to be known before it gets anything")
}

// Describe implements sdk.Describer.
func (k *keepOut) Describe() *sdk.Description {
	return &sdk.Description{Name: "keep-out", Version: "1", Guard: true, Config: k.options().Keys()}
}

// Configure implements sdk.Configurer.
func (k *keepOut) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	return k.options().Configure(r)
}

// Place implements sdk.Placement.
func (k *keepOut) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	a := &sdk.PlaceResponse{Status: sdk.Status_OK}
	for i, c := range q.Candidates {
		network, why := sdk.SubnetText(c.GetSubnet()), ""
		switch {
		case slices.Contains(k.networks, network):
			why = network + " is on the list"
		case c.GetAgeS() < k.minAge/1000:
			why = "known for " + sdk.DurationText(1000*c.GetAgeS()) + ", wanted are " + sdk.DurationText(k.minAge)
		default:
			continue
		}
		a.Notes = append(a.Notes, &sdk.PeerNote{Candidate: uint32(i), Excluded: true, Reason: why})
	}
	return a
}

func init() { guest.Register(&keepOut{}) }

func main() { process.Main() }
