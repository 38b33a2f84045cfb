package decisions

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/sdk"
)

// Report is what another policy would have decided.
type Report struct {
	Asked, Same, Different int
	Passed                 int // it had no opinion
	Failed                 int // no valid answer; the first of them is in Failure
	Skipped                int // decisions that have nothing to compare with, or cannot be read
	Failure                error
	Differences            []Difference // in the order of the decisions, at most maxDifferences
}

// Difference is one decision that would have been another.
type Difference struct {
	Decision      string
	Time          time.Time
	Role          sdk.Role
	Tessera       sdk.TesseraID // zero where it is about several
	Before, After string        // in a sentence
	Moved         int           // copies of fragments that would be elsewhere, tesseras that would be treated otherwise
}

const maxDifferences = 1000

// Diff asks a policy the questions that were put to the deciders, or to the guards where it is to be
// one, and compares what would have come of its answers. Only the roles it is given are asked about.
// Errors: that of ctx.
func Diff(ctx context.Context, decisions iter.Seq2[policy.Decision, error], p policy.Policy, part policy.Part, roles ...sdk.Role) (*Report, error) {
	r := &Report{}
	for d, err := range decisions {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		if err == nil && !slices.Contains(roles, d.Role) {
			continue
		}
		question, ok := questionFor(d, part)
		if err != nil || !ok {
			r.Skipped++
			continue
		}
		r.add(ctx, d, p, part, question)
	}
	return r, nil
}

// questionFor is what a policy of that part would have been asked.
func questionFor(d policy.Decision, part policy.Part) ([]byte, bool) {
	guarding := len(d.Question) > 0 && string(d.Question) == string(d.Request) // guards ended it
	if part != policy.PartGuard {
		return d.Request, d.Response != nil && !guarding
	}
	if d.Question != nil {
		return d.Question, d.Response != nil && !guarding
	}
	b, err := asGuard(d)
	return b, err == nil && d.Response != nil
}

// asGuard is a question to deciders, put to a guard.
func asGuard(d policy.Decision) ([]byte, error) {
	switch d.Role {
	case sdk.RolePlacement:
		var r sdk.PlaceRequest
		if err := r.UnmarshalVT(d.Request); err != nil {
			return nil, err
		}
		r.Guarding = true
		return r.MarshalVT()
	case sdk.RoleReciprocity:
		var r sdk.AdmitRequest
		if err := r.UnmarshalVT(d.Request); err != nil {
			return nil, err
		}
		r.Guarding = true
		return r.MarshalVT()
	case sdk.RoleRepair:
		var r sdk.RepairRequest
		if err := r.UnmarshalVT(d.Request); err != nil {
			return nil, err
		}
		r.Guarding = true
		return r.MarshalVT()
	}
	return nil, sdk.ErrRole
}

// add asks about one decision.
func (r *Report) add(ctx context.Context, d policy.Decision, p policy.Policy, part policy.Part, question []byte) {
	response, err := ask(ctx, d, p, question)
	var outcome policy.Outcome
	if err == nil {
		outcome, err = policy.Check(d.Role, part, question, response)
	}
	var diff Difference
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && outcome == policy.Passed:
		r.Asked++
		r.Passed++
		return
	case err == nil && part == policy.PartGuard:
		diff, err = guarded(d, question, response)
	case err == nil:
		diff, err = decided(d, outcome, response)
	}
	r.Asked++
	if err != nil {
		r.Failed++
		if r.Failure == nil {
			r.Failure = fmt.Errorf("decision %s: %w", d.ID, err)
		}
		return
	}
	if diff.Moved == 0 {
		r.Same++
		return
	}
	r.Different++
	if len(r.Differences) < maxDifferences {
		diff.Decision, diff.Time, diff.Role = d.ID, d.Time, d.Role
		if about := tesseras(d); len(about) == 1 {
			diff.Tessera = about[0]
		}
		r.Differences = append(r.Differences, diff)
	}
}

// decided compares a decision with the one another answer to the same question would have made.
func decided(before policy.Decision, outcome policy.Outcome, response []byte) (Difference, error) {
	after := before
	after.Outcome, after.Response, after.Reason = outcome, response, policy.Clean(words(before.Role, response))
	switch before.Role {
	case sdk.RolePlacement:
		return placements(before, after)
	case sdk.RoleReciprocity:
		return admissions(before, after)
	}
	return plans(before, after)
}

// copyAt is one copy of a fragment on a peer.
type copyAt struct {
	fragment uint32
	peer     sdk.NodeID
}

func placements(before, after policy.Decision) (Difference, error) {
	was, err := places(before)
	if err != nil {
		return Difference{}, err
	}
	would, err := places(after)
	if err != nil {
		return Difference{}, err
	}
	stays := 0
	for at := range would {
		if was[at] {
			stays++
		}
	}
	moved := max(len(was), len(would)) - stays
	if before.Outcome != after.Outcome {
		moved = max(moved, 1)
	}
	return Difference{Before: placeWords(before, was), After: placeWords(after, would), Moved: moved}, nil
}

func places(d policy.Decision) (map[copyAt]bool, error) {
	p, err := readPlacing(d)
	if err != nil {
		return nil, err
	}
	out := map[copyAt]bool{}
	for _, a := range p.answer.Assignments {
		out[copyAt{a.Fragment, sdk.NodeID(p.asked.Candidates[a.Candidate].Id)}] = true
	}
	return out, nil
}

func placeWords(d policy.Decision, at map[copyAt]bool) string {
	peers := map[sdk.NodeID]bool{}
	for c := range at {
		peers[c.peer] = true
	}
	if d.Outcome == policy.Deferred {
		return "deferred" + colon(d.Reason)
	}
	return fmt.Sprintf("%s on %s%s", amount(len(at), "fragment"), amount(len(peers), "peer"), colon(d.Reason))
}

func admissions(before, after policy.Decision) (Difference, error) {
	was, err := policy.AdmissionOf(before)
	if err != nil {
		return Difference{}, err
	}
	would, err := policy.AdmissionOf(after)
	if err != nil {
		return Difference{}, err
	}
	diff := Difference{Before: admissionWords(was), After: admissionWords(would)}
	if was.Verdict != would.Verdict || was.Custody != would.Custody {
		diff.Moved = 1
	}
	return diff, nil
}

func admissionWords(a *policy.Admission) string { return a.Verdict.String() + colon(a.Reason) }

// plans counts the tesseras that would be repaired at another time, to another extent, or elsewhere in
// the order.
func plans(before, after policy.Decision) (Difference, error) {
	was, err := policy.PlanOf(before)
	if err != nil {
		return Difference{}, err
	}
	would, err := policy.PlanOf(after)
	if err != nil {
		return Difference{}, err
	}
	type order struct {
		place, rebuild int
		wait           time.Duration
	}
	orders := map[sdk.TesseraID]order{}
	for i, o := range was.Orders {
		orders[o.Tessera] = order{i, o.Rebuild, o.Wait}
	}
	moved := 0
	for i, o := range would.Orders {
		if earlier, ordered := orders[o.Tessera]; !ordered || earlier != (order{i, o.Rebuild, o.Wait}) {
			moved++
		}
		delete(orders, o.Tessera)
	}
	return Difference{Before: planWords(was), After: planWords(would), Moved: moved + len(orders)}, nil
}

func planWords(p *policy.RepairPlan) string {
	now := 0
	for _, o := range p.Orders {
		if o.Wait == 0 {
			now++
		}
	}
	return fmt.Sprintf("%s to repair at once, %d later%s", amount(now, "tessera"), len(p.Orders)-now, colon(p.Reason))
}
