// Package repair answers: which tesseras are repaired, in which order, and when?
//
// Its policy, ThinnestFirst, works on what could be lost soonest, gives peers that are merely away
// the time to come back, and does not believe that half the network died when its own link is down.
package repair

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// Name is what configurations and logs call the policy.
const Name = "thinnest-first"

// Version changes whenever the same request may get another answer.
const Version = "4"

// ThinnestFirst is the default repair policy. It has no settings of its own and keeps no state.
type ThinnestFirst struct{}

var (
	_ sdk.Repair    = ThinnestFirst{}
	_ sdk.Describer = ThinnestFirst{}
)

// Describe implements sdk.Describer.
func (ThinnestFirst) Describe() *sdk.Description {
	return &sdk.Description{Name: Name, Version: Version, Repairs: true, Decider: true}
}

// Repair implements sdk.Repair.
func (ThinnestFirst) Repair(request *sdk.RepairRequest) *sdk.RepairResponse {
	if wrong := malformed(request); wrong != "" {
		return &sdk.RepairResponse{Status: sdk.Status_INVALID, Reason: wrong}
	}
	var wanted []verdict
	response := &sdk.RepairResponse{Status: sdk.Status_OK}
	j := newJudge(request)
	for i, health := range request.GetTesseras() {
		switch v := j.judge(health); {
		case v.class == hopeless:
			response.Notes = append(response.Notes, &sdk.RepairNote{Tessera: uint32(i), Reason: v.reason})
		case v.class != healthy:
			v.position, v.health = uint32(i), health
			wanted = append(wanted, v)
		}
	}
	slices.SortFunc(wanted, compareVerdicts)
	waiting := 0
	for _, v := range wanted {
		response.Orders = append(response.Orders, v.order())
		if v.class == waits {
			waiting++
		}
	}
	response.Reason = strconv.Itoa(len(wanted)-waiting) + " to repair now, " + strconv.Itoa(waiting) + " waiting, " +
		strconv.Itoa(len(response.Notes)) + " beyond repair"
	return response
}

// malformed tells what is wrong with a request, "" if nothing is.
func malformed(request *sdk.RepairRequest) string {
	if len(request.GetTesseras()) > sdk.MaxTesseras {
		return "more than " + strconv.Itoa(sdk.MaxTesseras) + " tesseras"
	}
	seen := map[string]bool{}
	for _, h := range request.GetTesseras() {
		if len(h.GetTessera()) != sdk.IDSize || seen[string(h.GetTessera())] {
			return "a tessera's id is not 32 bytes, or stands there twice"
		}
		seen[string(h.GetTessera())] = true
	}
	return ""
}

// compareVerdicts orders by urgency: class, then the thinnest margin in peers, in subnets, in
// operators; then our own before others', the cheaper first, and last by id, so that the order of
// the request does not matter.
func compareVerdicts(a, b verdict) int {
	x, y := a.health, b.health
	return cmp.Or(
		cmp.Compare(a.class, b.class),
		cmp.Compare(x.GetSurvivesPeers(), y.GetSurvivesPeers()),
		cmp.Compare(x.GetSurvivesSubnets(), y.GetSurvivesSubnets()),
		cmp.Compare(x.GetSurvivesOperators(), y.GetSurvivesOperators()),
		compareOwn(x, y),
		cmp.Compare(x.GetCostBytes(), y.GetCostBytes()),
		bytes.Compare(x.GetTessera(), y.GetTessera()),
	)
}

func compareOwn(x, y *sdk.TesseraHealth) int {
	switch {
	case x.GetOwn() == y.GetOwn():
		return 0
	case x.GetOwn():
		return -1
	}
	return 1
}

// order writes a verdict. Priorities fall along the list and compare across pages: a hundred apart
// by class, then by margin.
func (v verdict) order() *sdk.RepairOrder {
	return &sdk.RepairOrder{
		Tessera:  v.position,
		Rebuild:  v.rebuild,
		WaitMs:   v.waitMS,
		Priority: 100*uint32(waits-v.class+1) - min(v.health.GetSurvivesPeers(), 99),
		Reason:   v.reason,
	}
}
