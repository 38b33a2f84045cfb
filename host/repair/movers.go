package repair

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Of several holders that come to repair a tessera one does. Each says that it is moving the tessera before it
// asks the others whether they are, so that of two at least one hears of the other. While it asks it says so
// only to those that come after it in the order, and gives way to one that comes before it and asks meanwhile,
// so that not both leave it to each other.

// leftToMovers is for how long past its own turn a node leaves a tessera to those who say that they are
// moving it, where its rounds are not further apart than that. To publish or rebuild a large tessera takes
// longer than the turns are apart where these are short; a liar must not hold a repair up for ever.
const leftToMovers = time.Hour

// contest is what this node is about to repair and is asking others about. The zero value is nothing.
type contest struct {
	mu     sync.Mutex // guards below
	asking map[sdk.TesseraID]*rivals
}

// rivals are those that come before this node when a tessera is to be repaired.
type rivals struct {
	before  map[sdk.NodeKey]bool
	gaveWay bool // to one of them
}

// enter begins to ask about a tessera. The function it gives ends that, and tells whether this node gave way.
func (c *contest) enter(t sdk.TesseraID, before map[sdk.NodeKey]bool) (leave func() (gaveWay bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking == nil {
		c.asking = map[sdk.TesseraID]*rivals{}
	}
	r := &rivals{before: before}
	c.asking[t] = r
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asking, t)
		return r.gaveWay
	}
}

// givesWay tells whether this node leaves a tessera to who asks about it.
func (c *contest) givesWay(t sdk.TesseraID, to sdk.NodeKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.asking[t]
	if r == nil || !r.before[to] {
		return false
	}
	r.gaveWay = true
	return true
}

// claim tells whether this node has still fragments of a tessera to repair, with errElsewhere where somebody else is
// at it. It has the holders tell once more what they hold: one of them may have repaired it since they were asked
// in this round. It is called with the turn at the tessera.
func (s *Service) claim(ctx context.Context, p *patient) (mine bool, err error) {
	k, err := s.keptOne(p.row.Tessera)
	if err != nil || k.row.Data == 0 || len(k.mine) == 0 { // it was deleted meanwhile
		return false, err
	}
	p.mine = k.mine
	if p.lost, err = s.lostHere(p.row.Tessera); err != nil {
		return false, err
	}
	if err := errors.Join(s.assess(p), s.readPlan(p)); err != nil {
		return false, err
	}
	if err := s.othersMove(ctx, p); err != nil {
		return false, err
	}
	_, err = s.askHolders(ctx, visits([]*patient{p}), unaudited)
	return true, err
}

func unaudited(context.Context, identity.Contact, []claim) error { return nil }

// othersMove is errElsewhere where somebody else is publishing or repairing a tessera just now, as far as its other
// holders and its owner's nodes say. Without it several would rebuild the same.
func (s *Service) othersMove(ctx context.Context, p *patient) error {
	if s.untilTurn(p) <= -max(leftToMovers, s.config.Interval) {
		return nil
	}
	before := map[sdk.NodeKey]bool{}
	var asked questions
	for _, h := range p.holders {
		if h.SilentSince.IsZero() {
			asked.add(h, p)
		}
		before[h.Key] = precedes(p.row.Tessera, h.Key, s.Self)
	}
	for _, c := range s.Network.Owners()[p.row.Owner] {
		if c.Key != s.Self && !p.heldBy(c.Key) {
			asked.add(stranger(c), p)
		}
	}
	moving := false
	leave := s.contest.enter(p.row.Tessera, before)
	err := s.inquire(ctx, asked.all, func(_ *patient, c wire.CheckHeard) { moving = moving || c.Moving })
	if gaveWay := leave(); err == nil && (gaveWay || moving) {
		err = errElsewhere
	}
	return err
}
