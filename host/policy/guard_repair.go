package policy

import (
	"context"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// repairGuards gathers what the guards of a page of repairs say: the highest priority each tessera is
// raised to.
type repairGuards struct {
	asked  *sdk.RepairRequest
	raised []raise // by position
}

// raise is the priority a tessera is raised to, and by whom and why.
type raise struct {
	to uint32
	by []string
}

// guardRepair asks the guards; the tesseras of the page they return carry the priority they may not
// fall below, by tells who raised which. held are the words of a guard that holds the page up, "" where
// none does. The error is that of a context that ended.
func (q *inquiry) guardRepair(ctx context.Context, asked *sdk.RepairRequest) (page *sdk.RepairRequest, by []string, held string, err error) {
	if len(q.line.guards) == 0 {
		return asked, nil, "", nil
	}
	question := *asked
	question.Guarding = true
	raw, err := encode(&question)
	if err != nil {
		return nil, nil, "", err
	}
	m := &repairGuards{asked, make([]raise, len(asked.Tesseras))}
	if err := q.askGuards(ctx, raw, func(g *post, b []byte) (Outcome, string, error) { return m.read(g.Name(), b) }); err != nil {
		return nil, nil, "", err
	}
	if len(q.objections) > 0 {
		return nil, nil, q.stop().words, nil
	}
	return m.page(), m.by(), "", nil
}

func (m *repairGuards) read(guard string, b []byte) (Outcome, string, error) {
	response, outcome, err := readRepairGuard(m.asked, b)
	if err != nil || outcome == Passed {
		return outcome, "", err
	}
	for _, o := range response.Orders {
		r := &m.raised[o.Tessera]
		if o.Priority > r.to {
			*r = raise{to: o.Priority}
		}
		if o.Priority == r.to {
			r.by = append(r.by, strings.TrimSuffix(guard+": "+Clean(o.Reason), ": "))
		}
	}
	return outcome, response.Reason, nil
}

// readRepairGuard decodes a guard's answer and checks that it only raises.
func readRepairGuard(asked *sdk.RepairRequest, b []byte) (*sdk.RepairResponse, Outcome, error) {
	response := &sdk.RepairResponse{}
	if err := response.UnmarshalVT(b); err != nil {
		return nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	if err != nil || outcome == Passed {
		return response, outcome, err
	}
	if outcome == Deferred {
		return nil, "", broken(RuleGuard, "it puts repairs off")
	}
	for _, o := range response.Orders {
		if o.GetWaitMs() > 0 || o.GetRebuild() > 0 {
			return nil, "", broken(RuleGuard, "it does more than raise a priority")
		}
	}
	return response, outcome, repairable(asked, response)
}

// page is the question for the deciders.
func (m *repairGuards) page() *sdk.RepairRequest {
	page := *m.asked
	page.Tesseras = slices.Clone(m.asked.Tesseras)
	for i, h := range m.asked.Tesseras {
		if m.raised[i].to > 0 {
			raised := *h
			raised.LeastPriority = m.raised[i].to
			page.Tesseras[i] = &raised
		}
	}
	return &page
}

// by tells for each tessera who raised it, whatever the order of the guards.
func (m *repairGuards) by() []string {
	out := make([]string, len(m.raised))
	for i, r := range m.raised {
		slices.Sort(r.by)
		out[i] = strings.Join(r.by, "; ")
	}
	return out
}
