package policy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// RepairPlan is a decision about what to repair, and when.
type RepairPlan struct {
	Sources  []Source // who decided, for each page of tesseras
	Reason   string
	Orders   []RepairOrder // in the order they shall be worked on
	Skipped  []Skipped     // tesseras a policy left alone, and why
	Deferred bool          // for at least one page a policy deferred, or none answered
}

// RepairOrder is one tessera to repair.
type RepairOrder struct {
	Tessera  sdk.TesseraID
	Rebuild  int           // at most so many fragments, those of silent holders last; 0 = all that are missing
	Wait     time.Duration // not before
	Priority uint32        // higher first
	Reason   string
	Critical bool // at most one more loss is survived
	ByHost   bool // the policy left it out or put it off, and the host may not
}

// Skipped is a tessera that is left alone.
type Skipped struct {
	Tessera sdk.TesseraID
	Reason  string
}

// Repair asks which tesseras to repair, in pages of sdk.MaxTesseras, thinnest margin first. Where no
// policy answers, or one defers, the plan says so and holds what may not wait all the same. Errors:
// ErrRequest, ErrClosed, or that of the context.
func (e *Engine) Repair(ctx context.Context, request *sdk.RepairRequest) (*RepairPlan, error) {
	tesseras, err := canonicalTesseras(request)
	if err != nil {
		return nil, err
	}
	g, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer e.leave(g)
	plan := &RepairPlan{}
	var reasons []string
	for page := range slices.Chunk(tesseras, sdk.MaxTesseras) {
		asked := &sdk.RepairRequest{
			Tesseras: page, Weather: request.Weather, IntervalMs: request.IntervalMs,
			NowUnixMs: request.NowUnixMs, Seed: request.Seed, DeficitAllowance: request.DeficitAllowance,
		}
		reason, err := plan.page(ctx, e.inquire(g, sdk.RoleRepair, nil), asked)
		if err != nil {
			return nil, err
		}
		reasons = append(reasons, reason)
	}
	plan.sort()
	plan.Reason = strings.Join(reasons, "; ")
	return plan, nil
}

// canonicalTesseras checks a question and puts it in order: thinnest margin first, then by id.
func canonicalTesseras(request *sdk.RepairRequest) ([]*sdk.TesseraHealth, error) {
	if request == nil {
		return nil, malformed("repair: nothing is asked")
	}
	seen := make(map[sdk.TesseraID]bool, len(request.Tesseras))
	for _, h := range request.Tesseras {
		if h == nil || len(h.Tessera) != sdk.IDSize {
			return nil, malformed("repair: a tessera's id is not %d bytes", sdk.IDSize)
		}
		if id := sdk.TesseraID(h.Tessera); seen[id] {
			return nil, malformed("repair: tessera %s stands there twice", id.Short())
		}
		seen[sdk.TesseraID(h.Tessera)] = true
	}
	tesseras := slices.Clone(request.Tesseras)
	for i, h := range tesseras {
		if h.LeastPriority != 0 { // the guards' to say
			plain := *h
			plain.LeastPriority = 0
			tesseras[i] = &plain
		}
	}
	slices.SortFunc(tesseras, func(a, b *sdk.TesseraHealth) int {
		return cmp.Or(
			cmp.Compare(a.SurvivesPeers, b.SurvivesPeers),
			cmp.Compare(a.SurvivesSubnets, b.SurvivesSubnets),
			cmp.Compare(a.SurvivesOperators, b.SurvivesOperators),
			bytes.Compare(a.Tessera, b.Tessera),
		)
	})
	return tesseras, nil
}

func (p *RepairPlan) sort() {
	slices.SortStableFunc(p.Orders, func(a, b RepairOrder) int {
		if a.Critical != b.Critical {
			return cmp.Compare(boolInt(b.Critical), boolInt(a.Critical))
		}
		return cmp.Compare(b.Priority, a.Priority)
	})
}

// page adds one page's orders to the plan and returns what was said about it.
func (p *RepairPlan) page(ctx context.Context, q *inquiry, asked *sdk.RepairRequest) (reason string, err error) {
	guarded, by, held, err := q.guardRepair(ctx, asked)
	if err != nil {
		return "", err
	}
	if held != "" {
		p.put(q, asked, &sdk.RepairResponse{}, nil)
		return held, nil
	}
	raw, err := encode(guarded)
	if err != nil {
		return "", err
	}
	var response *sdk.RepairResponse
	err = q.decide(ctx, raw, func(b []byte) (outcome Outcome, words string, err error) {
		response, outcome, err = readRepair(guarded, b)
		return outcome, response.GetReason(), err
	})
	if errors.Is(err, ErrNoAnswer) {
		p.put(q, guarded, &sdk.RepairResponse{}, by)
		return ErrNoAnswer.Error(), nil
	}
	if err != nil {
		return "", err
	}
	p.put(q, guarded, response, by)
	return q.d.Reason, nil
}

// put adds what was decided about a page.
func (p *RepairPlan) put(q *inquiry, asked *sdk.RepairRequest, response *sdk.RepairResponse, by []string) {
	p.Sources = append(p.Sources, q.d.Source)
	if q.d.Outcome != Answered {
		p.Deferred = true
		response.Orders, response.Notes = nil, nil
	}
	p.add(asked, response, by)
}

// readRepair decodes a decider's answer and checks it against the hard rules.
func readRepair(asked *sdk.RepairRequest, b []byte) (*sdk.RepairResponse, Outcome, error) {
	response := &sdk.RepairResponse{}
	if err := response.UnmarshalVT(b); err != nil {
		return nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	if err == nil && outcome == Answered {
		err = repairable(asked, response)
	}
	return response, outcome, err
}

// repairable checks an answer against the hard rules.
func repairable(asked *sdk.RepairRequest, a *sdk.RepairResponse) error {
	seen := make([]bool, len(asked.Tesseras))
	for _, o := range a.Orders {
		position := o.GetTessera()
		if int64(position) >= int64(len(seen)) {
			return broken(RuleUnknownTessera, "position %d of %d tesseras", position, len(seen))
		}
		if seen[position] {
			return broken(RuleDuplicate, "tessera %s is ordered twice", sdk.ShortID(asked.Tesseras[position].Tessera))
		}
		seen[position] = true
	}
	for _, n := range a.Notes {
		if int64(n.GetTessera()) >= int64(len(seen)) {
			return broken(RuleUnknownTessera, "position %d of %d tesseras", n.GetTessera(), len(seen))
		}
	}
	return nil
}

// add resolves a page, raises what guards raised, and adds what no policy may put off. by tells for each
// tessera who raised it.
func (p *RepairPlan) add(asked *sdk.RepairRequest, response *sdk.RepairResponse, by []string) {
	ordered := make([]bool, len(asked.Tesseras))
	for _, o := range response.Orders {
		h := asked.Tesseras[o.Tessera]
		ordered[o.Tessera] = true
		order := RepairOrder{
			Tessera: sdk.TesseraID(h.Tessera), Rebuild: int(min(o.Rebuild, h.Missing)), Wait: wait(o.WaitMs),
			Priority: o.Priority, Reason: Clean(o.Reason), Critical: sdk.Critical(h),
		}
		if order.Priority < h.LeastPriority {
			order.Priority = h.LeastPriority
			order.Reason = Clean("raised by " + by[o.Tessera] + "; " + order.Reason)
		}
		if order.Critical && order.Wait > 0 {
			order.Wait, order.ByHost = 0, true
			order.Reason = Clean("not put off, at most one more loss is survived; the policy said: " + order.Reason)
		}
		p.Orders = append(p.Orders, order)
	}
	for i, h := range asked.Tesseras {
		if sdk.Critical(h) && !ordered[i] {
			p.Orders = append(p.Orders, RepairOrder{
				Tessera: sdk.TesseraID(h.Tessera), Critical: true, ByHost: true,
				Reason: "ordered by the host: at most one more loss is survived",
			})
		}
	}
	for _, n := range response.Notes {
		p.Skipped = append(p.Skipped, Skipped{sdk.TesseraID(asked.Tesseras[n.GetTessera()].Tessera), Clean(n.GetReason())})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
