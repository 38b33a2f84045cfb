package repair_test

import (
	"slices"
	"testing"

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
	custody := func(m *settler) {
		if err := m.Custody(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
	first.broken, second.broken = false, false
	second.meanwhile = func() { both = true }
	first.meanwhile = func() { custody(second) }
	c.clock = c.clock.Add(colonyInterval)
	custody(first)
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
