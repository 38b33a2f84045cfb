package repair_test

import (
	"testing"

	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/sdk"
)

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
		byKey := map[sdk.NodeKey]*settler{}
		var keys []sdk.NodeKey
		for _, m := range c.members {
			keys = append(keys, m.contact.Key)
			byKey[m.contact.Key] = m
		}
		order := repair.InOrder(c.plan.Tessera, keys)
		byKey[order[0]].broken = true
		if moving {
			defer byKey[order[0]].turns.Try(c.plan.Tessera)()
		}
		byKey[order[nodes-1]].dead = true
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
