package decisions

import (
	"fmt"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// guarded tells what a guard's answer would have meant for a decision.
func guarded(d policy.Decision, question, response []byte) (Difference, error) {
	switch d.Role {
	case sdk.RolePlacement:
		return guardedPlacement(d, question, response)
	case sdk.RoleReciprocity:
		return guardedAdmission(d, response)
	}
	return guardedPlan(d, response)
}

// guardedPlacement counts the fragments on peers that the guard excludes.
func guardedPlacement(d policy.Decision, question, response []byte) (Difference, error) {
	was, err := places(d)
	if err != nil {
		return Difference{}, err
	}
	var asked sdk.PlaceRequest
	var said sdk.PlaceResponse
	if err := asked.UnmarshalVT(question); err != nil {
		return Difference{}, err
	}
	if err := said.UnmarshalVT(response); err != nil {
		return Difference{}, err
	}
	excluded := map[sdk.NodeID]bool{}
	for _, n := range said.Notes {
		if n.Excluded {
			excluded[sdk.NodeID(asked.Candidates[n.Candidate].Id)] = true
		}
	}
	diff := Difference{Before: placeWords(d, was)}
	for at := range was {
		if excluded[at.peer] {
			diff.Moved++
		}
	}
	diff.After = fmt.Sprintf("excludes %s, on which are %s", amount(len(excluded), "peer"), amount(diff.Moved, "fragment"))
	if said.Status == sdk.Status_DEFER {
		diff.Moved = max(1, len(was))
		diff.After = "defers: " + policy.Clean(said.Reason)
	}
	return diff, nil
}

// guardedAdmission tells whether something that was taken would not have been.
func guardedAdmission(d policy.Decision, response []byte) (Difference, error) {
	was, err := policy.AdmissionOf(d)
	if err != nil {
		return Difference{}, err
	}
	var asked sdk.AdmitRequest
	var said sdk.AdmitResponse
	if err := asked.UnmarshalVT(d.Request); err != nil {
		return Difference{}, err
	}
	if err := said.UnmarshalVT(response); err != nil {
		return Difference{}, err
	}
	diff := Difference{Before: admissionWords(was)}
	if was.Verdict != policy.Accept {
		return diff, nil
	}
	asked.GrantBytes = said.GrantBytes
	switch {
	case said.Status == sdk.Status_DEFER || said.Verdict == sdk.AdmitResponse_LATER:
		diff.Moved, diff.After = 1, "later: "+policy.Clean(said.Reason)
	case said.Verdict == sdk.AdmitResponse_REFUSE:
		diff.Moved, diff.After = 1, "refuse: "+policy.Clean(said.Reason)
	case !policy.WithinGrant(&asked, was.Custody):
		diff.Moved, diff.After = 1, "grants only "+sdk.SizeText(said.GrantBytes)
	}
	return diff, nil
}

// guardedPlan counts the tesseras whose priority would have been raised.
func guardedPlan(d policy.Decision, response []byte) (Difference, error) {
	was, err := policy.PlanOf(d)
	if err != nil {
		return Difference{}, err
	}
	var asked sdk.RepairRequest
	var said sdk.RepairResponse
	if err := asked.UnmarshalVT(d.Request); err != nil {
		return Difference{}, err
	}
	if err := said.UnmarshalVT(response); err != nil {
		return Difference{}, err
	}
	priority := map[sdk.TesseraID]uint32{}
	for _, o := range was.Orders {
		priority[o.Tessera] = o.Priority
	}
	diff := Difference{Before: planWords(was)}
	for _, o := range said.Orders {
		if had, ordered := priority[sdk.TesseraID(asked.Tesseras[o.Tessera].Tessera)]; ordered && o.Priority > had {
			diff.Moved++
		}
	}
	diff.After = fmt.Sprintf("raises %s", amount(diff.Moved, "tessera"))
	return diff, nil
}
