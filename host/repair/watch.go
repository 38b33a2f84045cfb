package repair

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// fresh is how many intervals ago a check may be to count: the slowest of those who check take so many
// rounds, and rounds take their time.
const fresh = 6

// Checked is what this node says of a tessera to who watches it.
func (s *Service) Checked(t sdk.TesseraID, watcher sdk.NodeKey) wire.Check {
	return wire.Check{At: s.lastChecked(t), Moving: s.Turns.Taken(t) && !s.contest.givesWay(t, watcher)}
}

// lastChecked is when this node last checked the health of a tessera; zero is never. What it did before
// it was started the last time shows in the holders' rows: they say when a holder last gave its word.
func (s *Service) lastChecked(t sdk.TesseraID) time.Time {
	last := s.rounds.lastChecked(t)
	if !last.IsZero() {
		return last
	}
	holders, err := s.Book.Of(t)
	if err != nil {
		s.Log.Error("read holders", "tessera", t.Short(), "err", err)
	}
	for _, h := range holders {
		if h.LastSeen.After(last) {
			last = h.LastSeen
		}
	}
	return last
}

// watch asks those who come first for each tessera when they last checked it, and gives the tesseras that
// nobody did check: they fall to this node. Who does not answer loses its place in the order.
func (s *Service) watch(ctx context.Context, patients []*patient) (alone []*patient, err error) {
	var asked questions
	for _, p := range patients {
		for _, h := range p.turn.ahead {
			asked.add(h, p)
		}
	}
	attended := map[sdk.TesseraID]bool{}
	err = s.inquire(ctx, asked.all, func(p *patient, c wire.CheckHeard) {
		if c.Age >= 0 && c.Age <= fresh*s.config.Interval {
			attended[p.row.Tessera] = true
		}
	})
	return slices.DeleteFunc(patients, func(p *patient) bool { return attended[p.row.Tessera] }), err
}

// inquire asks nodes what they do about tesseras and hands on each answer, one at a time.
func (s *Service) inquire(ctx context.Context, visits []*visit, heard func(*patient, wire.CheckHeard)) error {
	var (
		mu sync.Mutex // one answer at a time
		g  errgroup.Group
	)
	g.SetLimit(askedAtOnce)
	for _, v := range visits {
		g.Go(func() error {
			checks, err := s.checksOf(ctx, v)
			mu.Lock()
			defer mu.Unlock()
			for i, c := range checks {
				heard(v.patients[i], c)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// checksOf asks one node; one that cannot be reached is silent.
func (s *Service) checksOf(ctx context.Context, v *visit) ([]wire.CheckHeard, error) {
	contact, ok := holders.Contact(v.holder)
	if !ok {
		return nil, nil
	}
	contact = s.Network.Locate(contact)
	asking, cancel := context.WithTimeout(ctx, attestPatience)
	defer cancel()
	checks, err := s.Network.Watch(asking, contact, tesserasOf(v.patients))
	if err == nil {
		return checks, nil
	}
	if ctx.Err() == nil && unreachable(err) {
		s.rounds.silent(v.holder.Key, s.Now())
		return nil, s.silent(v.holder.Key, v.patients)
	}
	s.Log.Info("a holder did not say what it checked", "peer", contact.ID().Short(), "err", err)
	return nil, nil
}

// unreachable tells that nobody is there, rather than somebody who would not say.
func unreachable(err error) bool {
	return errors.Is(err, quicnet.ErrUnreachable) || errors.Is(err, quicnet.ErrSilent) || errors.Is(err, context.DeadlineExceeded)
}
