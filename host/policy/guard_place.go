package policy

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// placeGuards gathers what the guards of a placement say: the union of whom they exclude, the sum of
// their scores, the lowest of their caps.
type placeGuards struct {
	q        *inquiry
	asked    *sdk.PlaceRequest
	excluded map[int][]string // by position: by whom, and why
	scores   map[int]int64    // by position
	caps     *sdk.Caps
}

// guardPlace asks the guards and narrows the question to what they allow; notes tell whom they
// excluded. The error is a *DeferredError, or that of a context that ended.
func (q *inquiry) guardPlace(ctx context.Context, asked *sdk.PlaceRequest) (*sdk.PlaceRequest, []Note, error) {
	if len(q.line.guards) == 0 {
		return asked, nil, nil
	}
	question := *asked
	question.Guarding = true
	raw, err := encode(&question)
	if err != nil {
		return nil, nil, err
	}
	caps := *asked.Caps
	m := &placeGuards{q: q, asked: asked, excluded: map[int][]string{}, scores: map[int]int64{}, caps: &caps}
	if err := q.askGuards(ctx, raw, m.read); err != nil {
		return nil, nil, err
	}
	if len(q.objections) > 0 {
		held := q.stop()
		return nil, nil, &DeferredError{Source: q.d.Source, Reason: held.words, Notes: slices.Concat(q.d.Notes, m.notes())}
	}
	return m.narrowed(), m.notes(), nil
}

func (m *placeGuards) read(g *post, b []byte) (Outcome, string, error) {
	response, outcome, err := readPlaceGuard(m.asked, b)
	if err != nil || outcome == Passed {
		return outcome, "", err
	}
	for _, n := range response.Notes {
		position := int(n.GetCandidate())
		m.scores[position] += int64(n.GetScore())
		if n.GetExcluded() {
			m.excluded[position] = append(m.excluded[position], excludedBy(g.Name(), n))
		}
	}
	lower(&m.caps.PerSubnet, response.Caps.GetPerSubnet())
	lower(&m.caps.InstitutionalPpm, response.Caps.GetInstitutionalPpm())
	m.caps.Strict = m.caps.Strict || response.Caps.GetStrict()
	if outcome == Deferred {
		m.q.objections = append(m.q.objections, objection{guard: g, response: b, words: Clean(response.Reason)})
	}
	return outcome, response.Reason, nil
}

// readPlaceGuard decodes a guard's answer and checks that it only narrows.
func readPlaceGuard(asked *sdk.PlaceRequest, b []byte) (*sdk.PlaceResponse, Outcome, error) {
	response := &sdk.PlaceResponse{}
	if err := response.UnmarshalVT(b); err != nil {
		return nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	if err != nil || outcome == Passed {
		return response, outcome, err
	}
	switch replicas := response.Caps.GetReplicas(); {
	case len(response.Assignments) > 0 || response.SubnetCapYielded:
		return nil, "", broken(RuleGuard, "it places fragments")
	case replicas != 0 && replicas != asked.Caps.GetReplicas():
		return nil, "", broken(RuleGuard, "it changes how many peers are wanted")
	}
	return response, outcome, notesInRange(asked, response.Notes)
}

// lower takes the lower of two caps, of which 0 is none.
func lower(limit *uint32, to uint32) {
	if to != 0 && (*limit == 0 || to < *limit) {
		*limit = to
	}
}

func excludedBy(guard string, n *sdk.PeerNote) string {
	return guard + ": " + cmp.Or(Clean(n.GetReason()), "it gives no reason")
}

// narrowed is the question for the deciders: without the peers that were excluded, with scores and
// the lower caps. Where the subnet cap could not yield before, it cannot because of the guards either:
// otherwise excluding peers would open networks that were full.
func (m *placeGuards) narrowed() *sdk.PlaceRequest {
	asked := *m.asked
	asked.Caps, asked.Candidates = m.caps, make([]*sdk.Candidate, 0, len(m.asked.Candidates))
	for i, c := range m.asked.Candidates {
		if m.excluded[i] != nil {
			continue
		}
		if score := m.scores[i]; score != 0 {
			scored := *c
			scored.Score = int32(min(max(score, math.MinInt32), math.MaxInt32))
			c = &scored
		}
		asked.Candidates = append(asked.Candidates, c)
	}
	if m.asked.Caps.PerSubnet > 0 && asked.SubnetCapMayYield() && !m.asked.SubnetCapMayYield() {
		m.caps.Strict = true
	}
	return &asked
}

// notes tells for each excluded peer by whom it is, and why, whatever the order of the guards.
func (m *placeGuards) notes() []Note {
	var out []Note
	for _, position := range slices.Sorted(maps.Keys(m.excluded)) {
		by := slices.Clone(m.excluded[position])
		slices.Sort(by)
		by = slices.Compact(by)
		out = append(out, Note{sdk.NodeID(m.asked.Candidates[position].Id), Clean("excluded by " + strings.Join(by, "; by "))})
	}
	return out
}
