package repair

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// Planned is one tessera that is not at its target, and what would be done.
type Planned struct {
	Tessera sdk.TesseraID
	Report  health.Report
	Rebuild int           // fragments that would be rebuilt; 0 when it waits
	Wait    time.Duration // not before
	Reason  string        // the policy's, or why it is left to others
}

// Plan checks everything of the owner's and tells what a round would do now. Of what is kept for others it tells
// by what this node knows since its last round, and whose turn it is.
func (s *Service) Plan(ctx context.Context) ([]Planned, error) {
	w, err := s.check(ctx, nil)
	if err != nil {
		return nil, err
	}
	mine, left, err := s.foreseen(w.climate.habits())
	if err != nil {
		return nil, err
	}
	w.patients = append(w.patients, mine...)
	orders, err := s.order(ctx, w)
	if err != nil {
		return nil, err
	}
	out := make([]Planned, len(orders), len(orders)+len(left))
	for i, o := range orders {
		out[i] = o.Planned
	}
	return append(out, left...), nil
}

// foreseen gives what is kept here for others and is not at its target as far as this node knows: what it is its
// turn to repair, and what it leaves to others.
func (s *Service) foreseen(others health.Habits) (mine []*patient, left []Planned, err error) {
	alive := s.Network.Owners()
	for page, err := range s.kept() {
		if err != nil {
			return nil, nil, err
		}
		var patients []*patient
		for _, k := range page {
			if !k.row.IllSince.IsZero() { // it is checked in each round, any other only now and then
				patients = append(patients, &patient{row: k.row, mine: k.mine, kept: true})
			}
		}
		if err := s.assessEach(patients); err != nil {
			return nil, nil, err
		}
		for _, p := range patients {
			if p.report.Status == health.Healthy {
				continue
			}
			p.turn = turnOf(p.row.Tessera, s.Self, p.holders, len(alive[p.row.Owner]) > 0)
			if wait := s.untilTurn(p); wait > 0 {
				left = append(left, Planned{Tessera: p.row.Tessera, Report: p.report, Wait: wait, Reason: p.turn.words()})
				continue
			}
			mine = append(mine, s.summed([]*patient{p}, others)...)
		}
	}
	return mine, left, nil
}

// untilTurn is how long this node still leaves a kept tessera to those that come before it; not above 0 when it is
// its turn.
func (s *Service) untilTurn(p *patient) time.Duration {
	return p.turn.patience(s.config.Interval) - s.Now().Sub(p.row.IllSince)
}

// words says who comes first.
func (u turn) words() string {
	switch others := english.Plural(u.position, "holder", ""); {
	case !u.owner:
		return fmt.Sprintf("kept for somebody else: left to the %s that come first", others)
	case u.position == 0:
		return "kept for somebody else: left to the owner's node"
	default:
		return fmt.Sprintf("kept for somebody else: left to the owner's node and the %s that come first", others)
	}
}
