package repair_test

import "testing"

// TestARepairUnderWayIsWaitedFor: one of twelve dies, and the first in the order says for ever that it is at
// it. The others leave it to that one longer than to one that cannot repair and says nothing, but not for
// ever.
func TestARepairUnderWayIsWaitedFor(t *testing.T) {
	const nodes = 12
	rounds := map[bool]int{}
	c := newColony(t, nodes)
	for _, moving := range []bool{false, true} {
		c = c.again()
		for range 3 {
			c.round(inTurn(nodes))
		}
		order := c.inOrder()
		order[0].broken = true
		if moving {
			defer order[0].turns.Try(c.plan.Tessera)()
		}
		order[nodes-1].dead = true
		for distinct := 0; distinct != 24; rounds[moving]++ {
			if rounds[moving] == 12 {
				t.Fatalf("moving %v: after 12 rounds %d of 24 shards are there", moving, distinct)
			}
			c.round(inTurn(nodes))
			distinct, _, _ = c.count()
		}
	}
	if rounds[true] != rounds[false]+1 {
		t.Errorf("repaired after %d rounds where the first one repairs for ever, %d where it only fails", rounds[true], rounds[false])
	}
}
