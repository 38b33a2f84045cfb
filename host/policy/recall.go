package policy

import "github.com/tesseras/tesseras/sdk"

// AdmissionOf reads what was decided from the record of a decision about a push. Errors: ErrRequest,
// or that of reading the answer.
func AdmissionOf(d Decision) (*Admission, error) {
	var asked sdk.AdmitRequest
	if err := asked.UnmarshalVT(d.Request); err != nil {
		return nil, malformed("%v", err)
	}
	if d.Response == nil { // nobody answered, or a guard failed
		return &Admission{Source: d.Source, Verdict: Later, Reason: d.Reason, RetryAfter: noAnswerWait}, nil
	}
	read := readAdmitGuard
	if !asked.Guarding {
		read = func(b []byte) (*sdk.AdmitResponse, Outcome, error) { return readAdmit(&asked, b) }
	}
	response, _, err := read(d.Response)
	if err != nil {
		return nil, err
	}
	return admission(d, response), nil
}

// PlanOf reads what was ordered from the record of a decision about a page of repairs. Errors:
// ErrRequest, or that of reading the answers.
func PlanOf(d Decision) (*RepairPlan, error) {
	asked := &sdk.RepairRequest{}
	if err := asked.UnmarshalVT(d.Request); err != nil {
		return nil, malformed("%v", err)
	}
	if _, err := canonicalTesseras(asked); err != nil {
		return nil, err
	}
	m := &repairGuards{asked, make([]raise, len(asked.Tesseras))}
	for _, s := range d.Steps {
		if s.Part != PartGuard || s.Response == nil {
			continue
		}
		if _, _, err := m.read(s.Policy, s.Response); err != nil {
			return nil, err
		}
	}
	plan := &RepairPlan{Sources: []Source{d.Source}, Reason: d.Reason, Deferred: d.Outcome != Answered}
	response := &sdk.RepairResponse{}
	if !plan.Deferred {
		var err error
		if response, _, err = readRepair(asked, d.Response); err != nil {
			return nil, err
		}
	}
	plan.add(asked, response, m.by())
	plan.sort()
	return plan, nil
}
