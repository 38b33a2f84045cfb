// Command liar is a decider that gives everything to the first peer of the list, and never asks whether
// it may.
package main

import (
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process"
)

type liar struct{}

func (liar) Describe() *sdk.Description {
	return &sdk.Description{Name: "liar", Version: "1", Decider: true}
}

func (liar) Place(q *sdk.PlaceRequest) *sdk.PlaceResponse {
	a := &sdk.PlaceResponse{Status: sdk.Status_OK}
	for _, p := range q.Pieces {
		a.Assignments = append(a.Assignments, &sdk.Assignment{Fragment: p.Index})
	}
	return a
}

func init() { guest.Register(liar{}) }

func main() { process.Main() }
