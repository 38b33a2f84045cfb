package repair_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/sdk"
)

// TestTwoAtOnceLeaveOneSurplusCopy (H5): some die while nobody has the room to repair, until it is the turn of
// several. Then two have: while the first gathers shards the second, which does not see all that the first
// sees, does a whole round. Each shard is there once or twice after it, and once after a while, evenly on all
// holders.
func TestTwoAtOnceLeaveOneSurplusCopy(t *testing.T) {
	t.Parallel()
	pairs := 0
	for ; pairs < sizeTogether.Cases(); pairs++ {
		c := newColony(t, 12)
		c.rounds(3)
		order := c.inOrder()
		for _, m := range order[11-pairs%3:] {
			m.dead = true
		}
		for _, m := range order {
			m.broken = true
		}
		c.rounds(16) // until nobody leaves it any longer to one who says that it is at it
		second, unseen := order[1+pairs%4], order[5:5+pairs%2]
		c.apart = func(a, b *settler) bool {
			return a == second && slices.Contains(unseen, b) || b == second && slices.Contains(unseen, a)
		}
		both := c.together(order[0], second)
		c.apart = func(a, b *settler) bool { return false }
		each := c.copiesEach()
		t.Logf("pair %d: %d copies", pairs, sum(each))
		if !both || slices.Min(each) < 1 || slices.Max(each) > 2 {
			t.Errorf("pair %d: both repaired: %v, and shards are there %v times", pairs, both, each)
		}
		for _, m := range order {
			m.broken = false
		}
		c.rounds(40)
		_, copies, held := c.count()
		if most, least := slices.Max(held), slices.Min(held); copies != 24 || most-least > 1 {
			t.Errorf("pair %d: after a while %d copies of 24 shards, %v each", pairs, copies, held)
		}
	}
	sizeTogether.Executed(t, pairs, "pairs that repaired at once")
}

// TestOfTwoThatBeginOneRepairs (H5): it is the turn of two, and one of them begins at any moment at which the other
// has not begun to repair yet, and pauses at any moment until the other has done its round. Exactly one of the
// two repairs, and no shard is there twice.
func TestOfTwoThatBeginOneRepairs(t *testing.T) {
	t.Parallel()
	c := newColonyEvery(t, 12, time.Minute)
	for _, begins := range []moment{looked, turned, asking, answered} {
		for _, pauses := range []moment{never, answered, gathers} {
			for place := range 2 {
				t.Run(fmt.Sprintf("number %d has %v, the other pauses: %v", place, begins, pauses), func(t *testing.T) {
					c := c.again()
					order := c.ill()
					first, second := order[place], order[1-place]
					came, repaired := c.amidst(first, second, begins, pauses)
					each := c.copiesEach()
					if !came || repaired != 1 || slices.Min(each) != 1 || slices.Max(each) != 1 {
						t.Errorf("came: %v, %d repaired, and shards are there %v times", came, repaired, each)
					}
				})
			}
		}
	}
}

// TestWhoOnlyLooksHoldsNobodyUp: a node that has taken the turn and is slow to look is at nothing yet. Where it said
// that it were, and all did, none would ever begin.
func TestWhoOnlyLooksHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c := newColonyEvery(t, 12, time.Minute)
	for place := range 2 {
		c := c.again()
		order := c.ill()
		slow, other := order[place], order[1-place]
		came := false
		slow.during.Store(&during{turned, other.contact.Key, func() {
			came, other.broken = true, false
			c.custody(other)
			if least := slices.Min(c.copiesEach()); least != 1 {
				t.Errorf("number %d looks, and the other does not repair", place)
			}
		}})
		c.custody(slow)
		if most := slices.Max(c.copiesEach()); !came || most != 1 {
			t.Errorf("number %d came to look: %v; a shard is there %d times", place, came, most)
		}
	}
}

// ill lets one die and several come to their turn, who cannot repair. It gives the members in their order.
func (c *colony) ill() (order []*settler) {
	c.t.Helper()
	c.rounds(3)
	order = c.inOrder()
	order[len(order)-1].dead = true
	for _, m := range order {
		m.broken = true
	}
	c.rounds(3)
	return order
}

// amidst lets the first do a round and the second begin one at a moment of it, to go on from another moment when
// the first one has done. It tells whether the second came to begin, and how many repaired.
func (c *colony) amidst(first, second *settler, begins, pauses moment) (came bool, repaired int) {
	c.t.Helper()
	pausing, ended, done := make(chan bool), make(chan bool), make(chan bool)
	pause := func() { close(pausing); <-ended }
	for _, m := range []*settler{first, second} {
		m.broken = false
		m.meanwhile = func() {
			repaired++
			if m == second && pauses == gathers {
				pause()
			}
		}
	}
	if pauses == answered {
		second.during.Store(&during{answered, first.contact.Key, pause})
	}
	first.during.Store(&during{begins, second.contact.Key, func() {
		came = true
		go func() { defer close(done); c.custody(second) }()
		select {
		case <-pausing:
		case <-done:
		}
	}})
	c.clock = c.clock.Add(c.every)
	c.custody(first)
	close(ended)
	if came {
		<-done
	}
	return came, repaired
}

// custody lets one do a round.
func (c *colony) custody(m *settler) {
	c.t.Helper()
	if err := m.Custody(c.t.Context()); err != nil {
		c.t.Error(err)
	}
}

// rounds lets everybody who lives do so many rounds.
func (c *colony) rounds(n int) {
	c.t.Helper()
	for range n {
		c.round(inTurn(len(c.members)))
	}
}

// together lets the second do a round in the middle of the first one's repair, and tells whether it repaired.
func (c *colony) together(first, second *settler) (both bool) {
	c.t.Helper()
	first.broken, second.broken = false, false
	second.meanwhile = func() { both = true }
	first.meanwhile = func() { c.custody(second) }
	c.clock = c.clock.Add(c.every)
	c.custody(first)
	return both
}

// inOrder lists the members as they take turns.
func (c *colony) inOrder() (order []*settler) {
	byKey := map[sdk.NodeKey]*settler{}
	var keys []sdk.NodeKey
	for _, m := range c.members {
		keys = append(keys, m.contact.Key)
		byKey[m.contact.Key] = m
	}
	for _, k := range repair.InOrder(c.plan.Tessera, keys) {
		order = append(order, byKey[k])
	}
	return order
}

func sum(all []int) (n int) {
	for _, a := range all {
		n += a
	}
	return n
}
