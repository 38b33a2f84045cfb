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
// so that not both leave it to each other. Before it asks, and once it leaves the tessera to another, it is at nothing:
// where many come at once and are slow to look, each would leave it to the others that only look.

// leftToMovers is for how long past its own turn a node leaves a tessera to those who say that they are
// moving it, where its rounds are not further apart than that. To publish or rebuild a large tessera takes
// longer than the turns are apart where these are short; a liar must not hold a repair up for ever.
const leftToMovers = time.Hour

// contest is what this node has the turn at and is not moving yet. The zero value is nothing.
type contest struct {
	mu    sync.Mutex // guards below
	about map[sdk.TesseraID]*rivals
}

// rivals are those that come before this node when a tessera is to be repaired.
type rivals struct {
	asking  bool // others, whether they are at it
	before  map[sdk.NodeKey]bool
	gaveWay bool // to one of them
}

// begin is called with the turn at a tessera. The function it gives is called when the turn is given back.
func (c *contest) begin(t sdk.TesseraID) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.about == nil {
		c.about = map[sdk.TesseraID]*rivals{}
	}
	r := &rivals{}
	c.about[t] = r
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.about[t] == r {
			delete(c.about, t)
		}
	}
}

// ask begins to ask others about a tessera, once begin was called.
func (c *contest) ask(t sdk.TesseraID, before map[sdk.NodeKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.about[t]
	r.asking, r.before = true, before
}

// decide ends what ask began. It tells whether this node moves the tessera from now on: nobody else is at it, and
// it gave way to nobody.
func (c *contest) decide(t sdk.TesseraID, othersMove bool) (mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.about[t]
	if othersMove || r.gaveWay {
		r.asking = false
		return false
	}
	delete(c.about, t)
	return true
}

// givesWay tells whether this node leaves a tessera to who asks about it.
func (c *contest) givesWay(t sdk.TesseraID, to sdk.NodeKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.about[t]
	switch {
	case r == nil:
		return false
	case !r.asking: // it asks later, or left it to another
		return true
	case !r.before[to]:
		return false
	}
	r.gaveWay = true
	return true
}

// claim tells whether this node has still fragments of a tessera to repair, with errElsewhere where somebody else is
// at it. It has the holders tell once more what they hold: one of them may have repaired it since they were asked
// in this round. It is called with the turn at the tessera.
func (s *Service) claim(ctx context.Context, p *patient) (mine bool, err error) {
	if mine, err := s.stillKept(p); err != nil || !mine {
		return false, err
	}
	if err := errors.Join(s.assess(p), s.readPlan(p)); err != nil {
		return false, err
	}
	if err := s.othersMove(ctx, p); err != nil {
		return false, err
	}
	if _, err := s.askHolders(ctx, visits([]*patient{p}), unaudited); err != nil {
		return false, err
	}
	return s.stillKept(p) // who repaired it since may have given this node some of it
}

// stillKept notes which fragments of a tessera this node has now. It is false where there are none: it was deleted
// meanwhile.
func (s *Service) stillKept(p *patient) (bool, error) {
	k, err := s.keptOne(p.row.Tessera)
	if err != nil || k.row.Data == 0 || len(k.mine) == 0 {
		return false, err
	}
	p.mine = k.mine
	p.lost, err = s.lostHere(p.row.Tessera)
	return err == nil, err
}

func unaudited(context.Context, identity.Contact, []claim) error { return nil }

// othersMove is errElsewhere where somebody else is publishing or repairing a tessera just now, as far as its other
// holders and its owner's nodes say. Without it several would rebuild the same.
func (s *Service) othersMove(ctx context.Context, p *patient) error {
	if s.untilTurn(p) <= -max(leftToMovers, s.config.Interval) {
		s.contest.decide(p.row.Tessera, false)
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
	s.contest.ask(p.row.Tessera, before)
	err := s.inquire(ctx, asked.all, func(_ *patient, c wire.CheckHeard) { moving = moving || c.Moving })
	if mine := s.contest.decide(p.row.Tessera, moving || err != nil); !mine && err == nil {
		err = errElsewhere
	}
	return err
}
