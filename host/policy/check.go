package policy

import (
	"fmt"

	"github.com/tesseras/tesseras/sdk"
)

// Check tells how a policy answered a recorded question: Answered, Passed or Deferred, and what is
// wrong with an answer that breaks the contract or a hard rule. The request is the very bytes the policy
// was asked. Errors: ErrRequest where those are no question, ErrRule, or that of decoding.
func Check(role sdk.Role, part Part, request, response []byte) (Outcome, error) {
	if len(response) > sdk.MaxResponse {
		return Invalid, fmt.Errorf("response of %d bytes, at most %d are read", len(response), sdk.MaxResponse)
	}
	var outcome Outcome
	var err error
	switch role {
	case sdk.RolePlacement:
		outcome, err = checkPlacement(part, request, response)
	case sdk.RoleReciprocity:
		outcome, err = checkAdmission(part, request, response)
	case sdk.RoleRepair:
		outcome, err = checkRepairs(part, request, response)
	default:
		err = malformed("%v: %q", sdk.ErrRole, role)
	}
	if err != nil {
		return Invalid, err
	}
	return outcome, nil
}

func checkPlacement(part Part, request, response []byte) (Outcome, error) {
	asked := &sdk.PlaceRequest{}
	if err := asked.UnmarshalVT(request); err != nil {
		return "", malformed("%v", err)
	}
	canonical, _, err := canonicalPlace(asked, func(sdk.NodeID) string { return "" })
	if err != nil {
		return "", err
	}
	if len(canonical.Candidates) != len(asked.Candidates) {
		return "", malformed("place: more than %d candidates", sdk.MaxCandidates)
	}
	asked.Caps = canonical.Caps // there are some
	if part == PartGuard {
		_, outcome, err := readPlaceGuard(asked, response)
		return outcome, err
	}
	_, _, outcome, err := readPlace(asked, response)
	return outcome, err
}

func checkAdmission(part Part, request, response []byte) (Outcome, error) {
	asked := &sdk.AdmitRequest{}
	if err := asked.UnmarshalVT(request); err != nil {
		return "", malformed("%v", err)
	}
	if err := checkAdmit(asked); err != nil {
		return "", err
	}
	if part == PartGuard {
		_, outcome, err := readAdmitGuard(response)
		return outcome, err
	}
	_, outcome, err := readAdmit(asked, response)
	return outcome, err
}

func checkRepairs(part Part, request, response []byte) (Outcome, error) {
	asked := &sdk.RepairRequest{}
	if err := asked.UnmarshalVT(request); err != nil {
		return "", malformed("%v", err)
	}
	if _, err := canonicalTesseras(asked); err != nil {
		return "", err
	}
	if part == PartGuard {
		_, outcome, err := readRepairGuard(asked, response)
		return outcome, err
	}
	_, outcome, err := readRepair(asked, response)
	return outcome, err
}
