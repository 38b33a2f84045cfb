package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tesseras/tesseras/sdk"
)

// Placement is a decision about who holds what. Its fields do not change; Next and Beside follow what
// becomes of it. It is safe for concurrent use.
type Placement struct {
	Source
	Reason           string
	Assignments      []Assignment // by fragment, one for each copy
	Unplaced         []Unplaced   // what has no peer for now
	Notes            []Note       // about peers that were passed over
	SubnetCapYielded bool

	mu     sync.Mutex // guards below
	moved  func(fragment uint32, from, to sdk.NodeID)
	tally  *tally
	holder []sdk.NodeID              // by assignment: who has it by now
	tried  []map[sdk.NodeID]struct{} // by assignment
}

// Assignment gives one copy of a fragment to a peer.
type Assignment struct {
	Fragment   uint32
	Peer       sdk.NodeID
	Alternates []sdk.NodeID // in the policy's order; use Next or Beside
	Reason     string
}

// Unplaced are copies of a fragment that found no peer.
type Unplaced struct {
	Fragment uint32
	Copies   int
}

// Note tells people something about a peer.
type Note struct {
	Peer   sdk.NodeID
	Reason string
}

// Place asks which peers shall hold which fragments. The request's order does not matter and it is
// not changed. Errors: ErrRequest, ErrClosed, that of the context, and a *DeferredError with a sentence
// and notes, which where nobody answered is an ErrNoAnswer as well.
func (e *Engine) Place(ctx context.Context, request *sdk.PlaceRequest) (*Placement, error) {
	g, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer e.leave(g)
	asked, notes, err := canonicalPlace(request, g.denied)
	if err != nil {
		return nil, err
	}
	q := e.inquire(g, sdk.RolePlacement, notes)
	asked, excluded, err := q.guardPlace(ctx, asked)
	if err != nil {
		return nil, err
	}
	notes = slices.Concat(notes, excluded)
	raw, err := encode(asked)
	if err != nil {
		return nil, err
	}
	var response *sdk.PlaceResponse
	var rules *tally
	err = q.decide(ctx, raw, func(b []byte) (outcome Outcome, words string, err error) {
		response, rules, outcome, err = readPlace(asked, b)
		return outcome, response.GetReason(), err
	})
	if errors.Is(err, ErrNoAnswer) {
		return nil, &DeferredError{Source: q.d.Source, Reason: ErrNoAnswer.Error(), Notes: notes, cause: err}
	}
	if err != nil {
		return nil, err
	}
	notes = append(notes, resolveNotes(asked, response.Notes)...)
	reason := q.d.Reason + leftOut(len(excluded))
	if q.d.Outcome == Deferred {
		return nil, &DeferredError{Source: q.d.Source, Reason: reason, Notes: notes}
	}
	p := newPlacement(q.d.Source, asked, response, notes, rules)
	p.Reason = reason
	p.moved = e.follow(q.d.ID)
	return p, nil
}

// leftOut reminds of the peers a decider was not told of.
func leftOut(peers int) string {
	switch peers {
	case 0:
		return ""
	case 1:
		return "; guards excluded 1 peer"
	}
	return fmt.Sprintf("; guards excluded %d peers", peers)
}

// readPlace decodes a decider's answer and checks it against the hard rules, which the tally then
// knows it by.
func readPlace(asked *sdk.PlaceRequest, b []byte) (*sdk.PlaceResponse, *tally, Outcome, error) {
	response, rules := &sdk.PlaceResponse{}, newTally(asked)
	if err := response.UnmarshalVT(b); err != nil {
		return nil, nil, "", err
	}
	outcome, err := outcomeOf(response.Status, response.Reason)
	switch {
	case err != nil:
		return nil, nil, "", err
	case outcome == Deferred:
		err = notesInRange(asked, response.Notes)
	case outcome == Answered:
		err = rules.accept(response)
	}
	return response, rules, outcome, err
}

func resolveNotes(asked *sdk.PlaceRequest, notes []*sdk.PeerNote) []Note {
	out := make([]Note, len(notes))
	for i, n := range notes {
		out[i] = Note{sdk.NodeID(asked.Candidates[n.GetCandidate()].Id), Clean(n.GetReason())}
	}
	return out
}

// newPlacement resolves positions to ids; the response keeps the rules.
func newPlacement(source Source, asked *sdk.PlaceRequest, response *sdk.PlaceResponse, notes []Note, rules *tally) *Placement {
	p := &Placement{
		Source: source, Notes: notes, SubnetCapYielded: rules.yields && rules.anyOverSubnetCap(), tally: rules,
	}
	for _, a := range response.Assignments {
		resolved := Assignment{Fragment: a.Fragment, Peer: sdk.NodeID(asked.Candidates[a.Candidate].Id), Reason: Clean(a.Reason)}
		for _, alternate := range a.Alternates {
			resolved.Alternates = append(resolved.Alternates, sdk.NodeID(asked.Candidates[alternate].Id))
		}
		p.Assignments = append(p.Assignments, resolved)
	}
	slices.SortStableFunc(p.Assignments, func(a, b Assignment) int { return int(int64(a.Fragment) - int64(b.Fragment)) })
	for _, a := range p.Assignments {
		p.holder = append(p.holder, a.Peer)
		p.tried = append(p.tried, map[sdk.NodeID]struct{}{})
	}
	for _, piece := range asked.Pieces {
		if left := rules.wanted[piece.Index]; left > 0 {
			p.Unplaced = append(p.Unplaced, Unplaced{piece.Index, left})
		}
	}
	return p
}

// Next hands a fragment over to another peer after the one it was given to refused or failed: of its
// alternates that every hard rule allows by now, the one with the fewest fragments, in the policy's
// order among equals. Peers that failed for this copy are not tried again. It returns false when nobody
// is left: ask the engine again, with what is held by then.
func (p *Placement) Next(fragment uint32, failed sdk.NodeID) (sdk.NodeID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.assignmentLocked(fragment, failed)
	if i < 0 {
		return sdk.NodeID{}, false
	}
	to, ok := p.nextLocked(i, func(to sdk.NodeID) error { return p.tally.replace(fragment, failed, to) })
	p.moved(fragment, failed, to)
	return to, ok
}

// Beside finds another peer for a fragment that the one it was given to is slow to take, as Next does, but
// since that one may take it yet the rules count both. Whoever is found has the fragment from then on.
func (p *Placement) Beside(fragment uint32, slow sdk.NodeID) (sdk.NodeID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.assignmentLocked(fragment, slow)
	if i < 0 {
		return sdk.NodeID{}, false
	}
	to, ok := p.nextLocked(i, func(to sdk.NodeID) error { return p.tally.beside(fragment, to) })
	if ok {
		p.moved(fragment, slow, to)
	}
	return to, ok
}

// assignmentLocked finds the copy of a fragment that a peer has by now, -1 when there is none.
func (p *Placement) assignmentLocked(fragment uint32, holder sdk.NodeID) int {
	for i, a := range p.Assignments {
		if a.Fragment == fragment && p.holder[i] == holder {
			return i
		}
	}
	return -1
}

// nextLocked goes through the alternates of a copy until the rules let one enter.
func (p *Placement) nextLocked(i int, enter func(to sdk.NodeID) error) (sdk.NodeID, bool) {
	choices := slices.Clone(p.Assignments[i].Alternates)
	p.tried[i][p.holder[i]] = struct{}{}
	slices.SortStableFunc(choices, func(a, b sdk.NodeID) int {
		return p.tally.peers[a].fragments() - p.tally.peers[b].fragments()
	})
	for _, to := range choices {
		if _, tried := p.tried[i][to]; tried {
			continue
		}
		if err := enter(to); err == nil {
			p.holder[i] = to
			return to, true
		}
	}
	return sdk.NodeID{}, false
}
