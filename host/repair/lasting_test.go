package repair_test

import "testing"

// startAnew ends every process and starts it again.
func (c *colony) startAnew() {
	for _, m := range c.members {
		m.starts()
	}
}

// TestNodesThatAreStartedDailyRepair: one of twelve dies, the first in the order cannot repair, and every
// process ends after each round. The next in the order comes to its turn all the same.
func TestNodesThatAreStartedDailyRepair(t *testing.T) {
	const nodes = 12
	for _, restarted := range []bool{false, true} {
		c := newColony(t, nodes)
		for range 3 {
			c.round(inTurn(nodes))
		}
		order := c.inOrder()
		order[0].broken = true
		order[nodes-1].dead = true
		rounds := 0
		for distinct := 0; distinct != 24; rounds++ {
			if rounds == 12 {
				t.Fatalf("started daily %v: after %d rounds %d of 24 shards are there", restarted, rounds, distinct)
			}
			if restarted {
				c.startAnew()
			}
			c.round(inTurn(nodes))
			distinct, _, _ = c.count()
		}
		t.Logf("started daily %v: repaired in %d rounds", restarted, rounds)
	}
}

// TestEverybodyChecksAlsoWhenStartedDaily: a node checks each tessera within eight rounds.
func TestEverybodyChecksAlsoWhenStartedDaily(t *testing.T) {
	const nodes = 12
	c := newColony(t, nodes)
	for range 20 {
		c.round(inTurn(nodes))
		c.startAnew()
	}
	for i, m := range c.members {
		at := m.Checked(c.plan.Tessera, m.contact.Key).At
		if at.IsZero() || c.clock.Sub(at) > 8*colonyInterval {
			t.Errorf("node %d checked last at %v, it is %v", i, at, c.clock)
		}
	}
}

// TestSurplusIsGivenUpAlsoWhenStartedDaily: a dead holder comes back three weeks after others took over what it
// had. They know it still, so what is surplus is given up, also where every process ends after each round.
func TestSurplusIsGivenUpAlsoWhenStartedDaily(t *testing.T) {
	const nodes = 12
	for _, restarted := range []bool{false, true} {
		c := newColony(t, nodes)
		for range 3 {
			c.round(inTurn(nodes))
		}
		away := c.inOrder()[nodes-1]
		away.dead = true
		for range 21 {
			c.round(inTurn(nodes))
		}
		away.dead = false
		distinct, copies, _ := c.count()
		if distinct != 24 || copies == 24 {
			t.Fatalf("%d of 24 shards in %d copies: this shows nothing", distinct, copies)
		}
		rounds := 0
		for ; copies > 24; rounds++ {
			if rounds == 32 {
				t.Fatalf("started daily %v: after %d rounds there are %d copies of 24 shards", restarted, rounds, copies)
			}
			if restarted {
				c.startAnew()
			}
			c.round(inTurn(nodes))
			distinct, copies, _ = c.count()
		}
		t.Logf("started daily %v: nothing was surplus any more after %d rounds", restarted, rounds)
		if distinct != 24 {
			t.Errorf("started daily %v: %d of 24 shards are left", restarted, distinct)
		}
	}
}
