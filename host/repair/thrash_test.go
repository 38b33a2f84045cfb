package repair_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

func inTurn(n int) (order []int) {
	for i := range n {
		order = append(order, i)
	}
	return order
}

// TestAColonyOutlivesWavesOfDeaths kills two waves of holders, each as large as the spread of that moment
// survives, then brings the first back.
func TestAColonyOutlivesWavesOfDeaths(t *testing.T) {
	c := newColony(t, 12)
	for range 3 {
		c.round(inTurn(12))
	}
	if distinct, copies, _ := c.count(); distinct != 24 || copies != 24 {
		t.Fatalf("nothing happened, and there are %d shards in %d copies", distinct, copies)
	}
	for wave, dead := range [][]int{{0, 3, 6, 9}, {1, 4}} {
		for _, i := range dead {
			c.members[i].dead = true
		}
		rounds := 0
		for distinct := 0; distinct != 24; rounds++ {
			if rounds > 12 {
				t.Fatalf("wave %d: after %d rounds %d shards are there", wave, rounds, distinct)
			}
			c.round(inTurn(12))
			distinct, _, _ = c.count()
		}
		_, copies, each := c.count()
		t.Logf("wave %d: repaired in %d rounds, %d copies, %v each", wave, rounds, copies, each)
		if most := slices.Max(c.copiesEach()); most > 2 {
			t.Errorf("wave %d: a shard is there %d times", wave, most)
		}
		if most, least := slices.Max(each), slices.Min(each); copies == 24 && most-least > 1 {
			t.Errorf("wave %d: shards per holder from %d to %d", wave, least, most)
		}
	}

	for _, i := range []int{0, 3, 6, 9} {
		c.members[i].dead = false
	}
	_, before, _ := c.count()
	for range 60 {
		c.round(inTurn(12))
	}
	distinct, after, each := c.count()
	t.Logf("four came back: %d copies, and %d after a while, %v each", before, after, each)
	if distinct != 24 || after >= before {
		t.Errorf("%d shards in %d copies, %d before the surplus was given up", distinct, after, before)
	}
}

// TestFlappingHoldersAreNotRebuilt: 30 % daily flapping for a month. Each day three in ten holders, drawn
// afresh, are away for eight hours, so that one in ten is at the hour of the round; all are met in between,
// and nobody dies, so that everything that repairs move is extra: it is less than 5 % of what is stored.
func TestFlappingHoldersAreNotRebuilt(t *testing.T) {
	t.Parallel()
	const nodes, shards = 24, 24
	runs, moved := 0, 0
	for ; runs < sizeFlaps.Cases(); runs++ {
		random := rand.New(rand.NewPCG(1, uint64(runs)))
		c := newColony(t, nodes)
		c.round(random.Perm(nodes))
		c.moved = 0
		for range 30 {
			for _, m := range c.members {
				m.dead = random.Float64() < 0.3*8/24
			}
			c.met = c.clock.Add(colonyInterval / 2)
			c.round(random.Perm(nodes))
		}
		moved += c.moved
	}
	extra := 100 * float64(moved) / float64(runs*shards)
	t.Logf("in %d months %d shards were moved, %.2f %% of what is stored", runs, moved, extra)
	if extra >= 5 {
		t.Errorf("flapping costs %.2f %% of what is stored", extra)
	}
	sizeFlaps.Executed(t, runs, "networks that flap for a month")
}

// TestThrash is G15 for holders without an owner: for a while nodes die, come back and are cut off from each
// other at random, disks are lost for good and shards are damaged, never more at once than the code survives.
// When that ends everything is at its target within three rounds, and nothing was ever lost. Later each shard
// is there once or, where two hold it with equal right, twice.
func TestThrash(t *testing.T) {
	t.Parallel()
	seed := suite.Seed(t)
	runs, wiped, damaged := 0, 0, 0
	for ; runs < sizeThrash.Cases(); runs++ {
		random := rand.New(rand.NewPCG(seed, uint64(runs)))
		s := &storm{colony: newColony(t, 24), random: random}
		s.round(random.Perm(24))
		for range 40 {
			s.day()
		}
		s.ends()
		rounds := 0
		for distinct := 0; distinct != 24; rounds++ {
			if rounds == stormAfter {
				t.Fatalf("run %d: %d rounds after the storm there are %d of 24 shards", runs, rounds, distinct)
			}
			s.round(random.Perm(24))
			distinct, _, _ = s.count()
		}
		_, copies, each := s.count()
		t.Logf("seed %d, run %d: %d disks and %d shards lost, at target after %d rounds with %d copies, at most %d on one",
			seed, runs, s.wiped, s.damaged, rounds, copies, slices.Max(each))
		wiped, damaged = wiped+s.wiped, damaged+s.damaged
		for quiet := 0; quiet < 32 || quiet < 96 && slices.Max(s.copiesEach()) > 2; quiet++ {
			s.round(random.Perm(24))
		}
		if most := slices.Max(s.copiesEach()); most > 2 {
			t.Errorf("run %d: after a while a shard is there %d times", runs, most)
		}
	}
	if wiped == 0 || damaged == 0 {
		t.Errorf("%d disks and %d shards were lost: this shows nothing", wiped, damaged)
	}
	sizeThrash.Executed(t, runs, "networks thrown about")
}

// stormAfter is how many rounds after a storm everything is at its target: one may pass in which a holder leaves a
// repair to another that does not get to it.
const stormAfter = 3

// storm throws the members of a colony about.
type storm struct {
	*colony
	random         *rand.Rand
	wiped, damaged int
}

// day is one day of a storm.
func (s *storm) day() {
	at := s.members[s.random.IntN(len(s.members))]
	switch down := s.down(); {
	case s.random.IntN(4) == 0 && s.expendable(at):
		s.wiped++
		at.loses()
	case s.random.IntN(6) == 0 && s.expendable(at) && len(at.store) > 0:
		s.damaged++
		at.spoils()
	case at.dead:
		at.dead = false
	case down < 3:
		at.dead = true
	}
	island := s.random.IntN(4) * 2 // so many are cut off from the others until tomorrow
	s.apart = func(a, b *settler) bool {
		return (int(a.contact.Key[0]) <= island) != (int(b.contact.Key[0]) <= island)
	}
	s.round(s.random.Perm(len(s.members)))
	if _, copies, _ := s.count(); copies > 2*24 {
		s.t.Fatalf("%d copies of 24 shards", copies)
	}
}

// ends ends the storm: who was away comes back.
func (s *storm) ends() {
	s.apart = func(a, b *settler) bool { return false }
	for _, m := range s.members {
		m.dead = false
	}
}

func (s *storm) down() (n int) {
	for _, m := range s.members {
		if m.dead {
			n++
		}
	}
	return n
}

// expendable tells whether a rebuild would still be possible without a member and all who are away.
func (s *storm) expendable(m *settler) bool {
	left := map[int]bool{}
	for _, o := range s.members {
		for i := range o.store {
			if o != m && !o.dead && o.whole(i) {
				left[i] = true
			}
		}
	}
	return len(left) >= 18
}
