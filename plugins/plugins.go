// Package plugins answers: which policies does a node have when nobody configured any?
//
// The host knows policies only through this set, never one by one; each lives in a folder of its own
// beside this file and imports nothing but sdk.
package plugins

import (
	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/plugins/reciprocity"
	"github.com/tesseras/tesseras/plugins/repair"
	"github.com/tesseras/tesseras/sdk"
)

// DefaultName is what the default policies are called in configurations, logs and metrics, whatever
// runs them.
const DefaultName = "default"

// Set is a policy for each role; a nil one does not play its role.
type Set struct {
	Placement   sdk.Placement
	Reciprocity sdk.Reciprocity
	Repair      sdk.Repair
}

// Default is the set every node starts with.
func Default() Set {
	return Set{Placement: placement.Spread{}, Reciprocity: reciprocity.FairShare{}, Repair: repair.ThinnestFirst{}}
}

// Named is the set with only the policy of that name in it; known is false if there is none.
func Named(name string) (set Set, known bool) {
	switch name {
	case placement.Name:
		set.Placement = placement.Spread{}
	case reciprocity.Name:
		set.Reciprocity = reciprocity.FairShare{}
	case repair.Name:
		set.Repair = repair.ThinnestFirst{}
	case DefaultName:
		return Default(), true
	default:
		return set, false
	}
	return set, true
}
