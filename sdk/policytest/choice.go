package policytest

import (
	"fmt"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// statusOf reads the status of an answer.
func statusOf(role sdk.Role, response []byte) (sdk.Status, error) {
	switch role {
	case sdk.RolePlacement:
		var a sdk.PlaceResponse
		err := a.UnmarshalVT(response)
		return a.Status, err
	case sdk.RoleReciprocity:
		var a sdk.AdmitResponse
		err := a.UnmarshalVT(response)
		return a.Status, err
	}
	var a sdk.RepairResponse
	err := a.UnmarshalVT(response)
	return a.Status, err
}

// choice writes down what an answer decides, by ids instead of positions and without its words, so that
// two answers can be compared whatever the order of the question.
func choice(role sdk.Role, asked encodable, response []byte) ([]string, error) {
	switch q := asked.(type) {
	case *sdk.PlaceRequest:
		return placeChoice(q, response)
	case *sdk.AdmitRequest:
		var a sdk.AdmitResponse
		err := a.UnmarshalVT(response)
		return []string{fmt.Sprintf("%v %v, retry after %d, grant %d, custody %t", a.Status, a.Verdict, a.RetryAfterMs, a.GrantBytes, a.Custody)}, err
	case *sdk.RepairRequest:
		return repairChoice(q, response)
	}
	return nil, fmt.Errorf("%s: %w", role, sdk.ErrRole)
}

func placeChoice(q *sdk.PlaceRequest, response []byte) ([]string, error) {
	var a sdk.PlaceResponse
	if err := a.UnmarshalVT(response); err != nil {
		return nil, err
	}
	peer := func(position uint32) string { return sdk.ShortID(q.Candidates[position].Id) }
	out := []string{fmt.Sprintf("%v, caps %d/%d/%t, yielded %t", a.Status,
		a.Caps.GetPerSubnet(), a.Caps.GetInstitutionalPpm(), a.Caps.GetStrict(), a.SubnetCapYielded)}
	for _, x := range a.Assignments {
		out = append(out, fmt.Sprintf("fragment %d on %s", x.Fragment, peer(x.Candidate)))
	}
	for _, n := range a.Notes {
		if n.Excluded || n.Score != 0 {
			out = append(out, fmt.Sprintf("peer %s excluded %t, score %d", peer(n.Candidate), n.Excluded, n.Score))
		}
	}
	slices.Sort(out[1:])
	return out, nil
}

func repairChoice(q *sdk.RepairRequest, response []byte) ([]string, error) {
	var a sdk.RepairResponse
	if err := a.UnmarshalVT(response); err != nil {
		return nil, err
	}
	out := []string{a.Status.String()}
	for _, o := range a.Orders {
		out = append(out, fmt.Sprintf("tessera %s: rebuild %d, wait %d ms, priority %d",
			sdk.ShortID(q.Tesseras[o.Tessera].Tessera), o.Rebuild, o.WaitMs, o.Priority))
	}
	slices.Sort(out[1:])
	return out, nil
}
