package repair_test

import (
	"maps"
	"slices"
	"testing"
)

// TestALostShardIsRebuiltElsewhere has each holder in turn lose a shard and own up to it, whatever its place in the
// order: one of the others takes it, though the loser has the fewest by then, and the loser gives it up once another
// has proved it.
func TestALostShardIsRebuiltElsewhere(t *testing.T) {
	const n = 8
	c := newColony(t, n)
	for who := range n {
		c = c.again()
		c.round(inTurn(n))
		m := c.members[who]
		lost := slices.Min(slices.Collect(maps.Keys(m.store)))
		m.misses(lost)
		if m.givesUp(t, lost) {
			t.Errorf("holder %d gave up a shard that nobody has", who)
		}
		for rounds := 0; c.copiesEach()[lost] == 0; rounds++ {
			if rounds > 2*n {
				t.Fatalf("holder %d: after %d rounds the shard is nowhere", who, rounds)
			}
			c.round(inTurn(n))
		}
		distinct, copies, each := c.count()
		if distinct != 24 || copies != 24 || len(m.store) != 2 || slices.Max(each) != 4 {
			t.Errorf("holder %d: %d shards in %d copies, %v each", who, distinct, copies, each)
		}
		at := slices.IndexFunc(c.members, func(o *settler) bool { return o.store[lost] != nil })
		good := c.members[at].store[lost]
		c.members[at].store[lost] = []byte("not it")
		if m.givesUp(t, lost) {
			t.Errorf("holder %d gave up a shard to somebody who lost it as well", who)
		}
		c.members[at].store[lost] = good
		if c.round(inTurn(n)); !m.givesUp(t, lost) {
			t.Errorf("holder %d did not give up a shard that another has", who)
		}
	}
}

func (m *settler) givesUp(t *testing.T, index int) bool {
	t.Helper()
	given, err := m.GiveUpReplaced(t.Context(), m.c.plan.Tessera, []int{index})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Equal(given, []int{index})
}

// TestALostShardComesBackWhereNobodyElseIs: seven holders are wanted and there are no others. Who lost all it had is
// no worse than nobody: it gets it back as soon as it takes anything, and does not leave it to the six who have it
// meanwhile.
func TestALostShardComesBackWhereNobodyElseIs(t *testing.T) {
	const n = 7
	for _, full := range []bool{false, true} {
		c := newColony(t, n)
		c.round(inTurn(n))
		m := c.members[3]
		lost := slices.Collect(maps.Keys(m.store))
		for _, index := range lost {
			m.misses(index)
		}
		m.full = full
		for rounds := 0; slices.Min(c.copiesEach()) == 0; rounds++ {
			if rounds > 2*n {
				t.Fatalf("full %t: after %d rounds the shards are nowhere", full, rounds)
			}
			c.round(inTurn(n))
		}
		if full {
			for _, index := range lost {
				if m.givesUp(t, index) {
					t.Errorf("it leaves shard %d to the others, who are too few", index)
				}
			}
			m.full = false
			c.clock = c.clock.Add(2 * colonyInterval) // it is asked again
			c.round(inTurn(n))
		}
		if distinct, _, each := c.count(); distinct != 24 || len(m.store) == 0 || slices.Max(each) > 4 {
			t.Errorf("full %t: %d shards, %v each", full, distinct, each)
		}
	}
}
