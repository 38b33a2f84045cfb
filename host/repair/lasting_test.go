package repair_test

import "testing"

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
			for _, m := range c.members {
				if restarted {
					m.starts()
				}
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
		for _, m := range c.members {
			m.starts()
		}
	}
	for i, m := range c.members {
		at := m.Checked(c.plan.Tessera).At
		if at.IsZero() || c.clock.Sub(at) > 8*colonyInterval {
			t.Errorf("node %d checked last at %v, it is %v", i, at, c.clock)
		}
	}
}
