package policy

import (
	"math/rand/v2"
	"testing"

	"github.com/tesseras/tesseras/plugins/placement"
	"github.com/tesseras/tesseras/plugins/reciprocity"
	"github.com/tesseras/tesseras/plugins/repair"
	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// mangle makes answers to a question: a good one with a few things changed, or a random one.
type mangle struct{ *rand.Rand }

func (m mangle) small(n int) uint32 { return uint32(m.IntN(n + 2)) } // now and then beyond the end

func (m mangle) status() sdk.Status {
	if m.IntN(4) > 0 {
		return sdk.Status_OK
	}
	return sdk.Status(m.IntN(6))
}

func (m mangle) reason() string { return []string{"", "because"}[m.IntN(2)] }

func (m mangle) place(q *sdk.PlaceRequest, guard bool) *sdk.PlaceResponse {
	a := &sdk.PlaceResponse{Status: m.status(), Reason: m.reason(), SubnetCapYielded: m.IntN(4) == 0}
	if !guard && m.IntN(3) > 0 {
		a = placement.Spread{}.Place(q)
		for _, x := range a.Assignments {
			switch m.IntN(12) {
			case 0:
				x.Candidate = m.small(len(q.Candidates))
			case 1:
				x.Fragment = m.small(len(q.Pieces))
			case 2:
				x.Alternates = append(x.Alternates, m.small(len(q.Candidates)))
			}
		}
		if m.IntN(4) == 0 {
			a.SubnetCapYielded = !a.SubnetCapYielded
		}
		return a
	}
	for range m.IntN(3) {
		a.Notes = append(a.Notes, &sdk.PeerNote{Candidate: m.small(len(q.Candidates)), Excluded: m.IntN(2) == 0})
	}
	for range m.IntN(3) {
		a.Assignments = append(a.Assignments, &sdk.Assignment{Fragment: m.small(len(q.Pieces)), Candidate: m.small(len(q.Candidates))})
	}
	if m.IntN(2) == 0 {
		a.Caps = &sdk.Caps{Replicas: m.small(8), PerSubnet: m.small(3)}
	}
	return a
}

func (m mangle) admit(q *sdk.AdmitRequest) *sdk.AdmitResponse {
	a := &sdk.AdmitResponse{Status: m.status(), Reason: m.reason(), Custody: m.IntN(4) == 0, Verdict: sdk.AdmitResponse_Verdict(m.IntN(5))}
	if m.IntN(2) == 0 {
		a = reciprocity.FairShare{}.Admit(q)
		a.Custody = a.Custody != (m.IntN(6) == 0)
	}
	return a
}

func (m mangle) repair(q *sdk.RepairRequest) *sdk.RepairResponse {
	a := &sdk.RepairResponse{Status: m.status(), Reason: m.reason()}
	if m.IntN(2) == 0 {
		a = repair.ThinnestFirst{}.Repair(q)
	}
	for range m.IntN(3) {
		a.Orders = append(a.Orders, &sdk.RepairOrder{Tessera: m.small(len(q.Tesseras)), WaitMs: uint64(m.IntN(2)), Rebuild: m.small(1)})
	}
	for range m.IntN(2) {
		a.Notes = append(a.Notes, &sdk.RepairNote{Tessera: m.small(len(q.Tesseras))})
	}
	return a
}

// TestRulesOfTheKit holds the rules that authors test with against those that the host enforces: every
// answer is good for both, or for neither.
func TestRulesOfTheKit(t *testing.T) {
	const each = 4000
	m := mangle{rand.New(rand.NewPCG(1, 2))}
	for _, role := range roles() {
		for _, part := range []Part{PartGuard, PartDecider} {
			guard, n, good := part == PartGuard, 0, 0
			for request := range policytest.Questions(role, guard, 7) {
				if n++; n > each {
					break
				}
				answer, err := encode(m.answer(t, role, guard, request))
				if err != nil {
					t.Fatal(err)
				}
				_, host := Check(role, part, request, answer)
				kit := policytest.Rules(role, guard, request, answer)
				if (host == nil) != (kit == nil) {
					t.Fatalf("%s %s, question %d: the host says %v, the kit says %v", role, part, n, host, kit)
				}
				if host == nil {
					good++
				}
			}
			if good < each/20 || good > each*19/20 {
				t.Errorf("%s %s: %d of %d answers are good, the test says little", role, part, good, each)
			}
		}
	}
}

func (m mangle) answer(t *testing.T, role sdk.Role, guard bool, request []byte) interface{ MarshalVT() ([]byte, error) } {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Fatal(err)
		}
	}()
	switch role {
	case sdk.RolePlacement:
		var q sdk.PlaceRequest
		err = q.UnmarshalVT(request)
		return m.place(&q, guard)
	case sdk.RoleReciprocity:
		var q sdk.AdmitRequest
		err = q.UnmarshalVT(request)
		return m.admit(&q)
	}
	var q sdk.RepairRequest
	err = q.UnmarshalVT(request)
	return m.repair(&q)
}
