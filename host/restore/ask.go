package restore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

const (
	// askedAtOnce is how many peers are asked a small question at the same time, not counting those that were
	// given long enough. Were all asked at once, those that never answer could take every connection.
	askedAtOnce = 8
	// seated is how long a peer may think about a small question until another is asked as well.
	seated = 500 * time.Millisecond
	// askPatience is how long an answer to a small question is waited for, longer than a dial takes to
	// find nobody.
	askPatience = 10 * time.Second
	// latecomers is how long peers that have not said what they hold are waited for once the others hold
	// enough.
	latecomers = 300 * time.Millisecond
)

// inTurn asks every peer in its order until ctx ends. One that is silent keeps no other from
// being asked. What it starts is waited for through under.
func inTurn(ctx context.Context, under *sync.WaitGroup, peers []identity.Contact, ask func(identity.Contact)) {
	seats := make(chan struct{}, askedAtOnce)
	under.Go(func() {
		for _, p := range peers {
			select {
			case seats <- struct{}{}:
			case <-ctx.Done():
				return
			}
			under.Go(func() {
				leave := sync.OnceFunc(func() { <-seats })
				late := time.AfterFunc(seated, leave)
				defer leave()
				defer late.Stop()
				ask(p)
			})
		}
	})
}

// askPlan asks the peers in their order and takes the first good answer.
func (s *Service) askPlan(ctx context.Context, id sdk.TesseraID, peers []identity.Contact) (*fragment.FragmentPlan, error) {
	asking, cancel := context.WithCancel(ctx)
	var under sync.WaitGroup
	defer under.Wait()
	defer cancel()
	answers := make(chan planAnswer, len(peers))
	inTurn(asking, &under, peers, func(p identity.Contact) { answers <- s.askOnePlan(asking, id, p) })
	var errs []error
	for range peers {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case a := <-answers:
			if a.err == nil {
				return a.plan, nil
			}
			if !errors.Is(a.err, ErrSelf) {
				errs = append(errs, a.err)
			}
		}
	}
	return nil, noPlan(errs)
}

// noPlan sums up what all peers said that were asked for a plan in vain.
func noPlan(answers []error) error {
	var silent []error // or wrong
	for _, err := range answers {
		switch {
		case errors.Is(err, ErrDeleted):
			return ErrDeleted
		case !errors.Is(err, ErrNoPlan):
			silent = append(silent, err)
		}
	}
	err := fmt.Errorf("%w: %s", ErrNoPlan, peersAsked(len(answers)))
	if n := len(silent); n > 0 {
		err = fmt.Errorf("%w, %d of them in vain; the last: %w", err, n, silent[n-1])
	}
	return err
}

func peersAsked(n int) string {
	if n == 1 {
		return "1 peer was asked"
	}
	return fmt.Sprintf("%d peers were asked", n)
}

type planAnswer struct {
	plan *fragment.FragmentPlan
	err  error
}

func (s *Service) askOnePlan(ctx context.Context, id sdk.TesseraID, from identity.Contact) planAnswer {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	plan, err := s.network.Plan(ctx, from, id)
	if err != nil {
		err = fmt.Errorf("%s: %w", from.ID().Short(), err)
	}
	return planAnswer{plan, err}
}

// askHeld asks the peers in their order what they hold. The answers end when all have answered or were waited for long
// enough; one that does not answer holds nothing. done stops the asking and waits for its end.
func (s *Service) askHeld(ctx context.Context, plan *fragment.FragmentPlan, peers []identity.Contact) (answers <-chan gather.Source, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan gather.Source, len(peers))
	var asking, closing sync.WaitGroup
	inTurn(ctx, &asking, peers, func(p identity.Contact) {
		out <- gather.Source{Peer: p, Fragments: s.held(ctx, plan, p)}
	})
	closing.Go(func() {
		asking.Wait()
		close(out)
	})
	return out, func() {
		cancel()
		closing.Wait()
	}
}

func (s *Service) held(ctx context.Context, plan *fragment.FragmentPlan, by identity.Contact) []int {
	asking, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	held, err := s.network.Held(asking, by, plan)
	if err != nil && ctx.Err() == nil {
		s.log.Debug("a holder did not say what it holds", "peer", by.ID().Short(), "err", err)
	}
	return held
}

// enough takes answers until there is somebody for each fragment that is needed, and for a little longer:
// the lowest indices need no decoding.
func enough(answers <-chan gather.Source, c *Collected) (found []gather.Source) {
	var late <-chan time.Time
	named := map[int]bool{}
	for _, i := range c.have {
		named[i] = true
	}
	for {
		select {
		case <-late:
			return found
		case a, more := <-answers:
			if !more {
				return found
			}
			found = append(found, a)
			for _, i := range a.Fragments {
				named[i] = true
			}
			if late == nil && len(named) >= c.Plan.Data {
				late = time.After(latecomers)
			}
		}
	}
}
