package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

// TestSearchOnPaper: on a network that answers at once, a search asks the nearest first, and ends with
// the k nearest of those that answer, on any number of paths.
func TestSearchOnPaper(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const nodes, k = 300, 20
	var all []Node
	for n := range nodes {
		all = append(all, at(n))
	}
	for round := range 60 {
		target := at(10_000 + round).At
		sortByDistance(target, all)
		dead := map[sdk.NodeKey]bool{}
		for _, p := range all {
			dead[p.Key] = rng.IntN(3) == 0
		}
		var want []Node
		for _, p := range all {
			if !dead[p.Key] && len(want) < k {
				want = append(want, p)
			}
		}
		paths := 1 + round%3
		s := newSearch(target, sdk.NodeKey{}, k, paths, []Node{all[nodes-1], all[nodes-2], all[nodes-3], want[0], want[1], want[2]})
		questions := 0
		for c := s.next(3); c != nil; c = s.next(3) {
			questions++
			if dead[c.Key] {
				c.state = failed
				continue
			}
			c.state = answered
			s.learn(c, all[:2*k]) // what a node near the target would say, the dead among it
		}
		if done, _ := s.progress(); !done {
			t.Fatal("nobody left to ask, but not done")
		}
		if got := s.nearest(); !slices.Equal(got, want) {
			t.Fatalf("round %d, %d paths: found %d, want %d", round, paths, len(got), len(want))
		}
		if questions > 3*k {
			t.Errorf("%d questions", questions)
		}
	}
}

// TestALiarSpoilsOnePath: what a contact says is believed on its own path only, and nobody is asked
// twice.
func TestALiarSpoilsOnePath(t *testing.T) {
	target := ID{}
	var honest, lies []Node
	for n := range 40 {
		honest = append(honest, at(n))
		lie := at(1000 + n)
		lie.At = ID{31: byte(n)} // as near as can be
		lies = append(lies, lie)
	}
	s := newSearch(target, sdk.NodeKey{}, 4, 3, honest[:3])
	questions := map[sdk.NodeKey]int{}
	for c := s.next(3); c != nil; c = s.next(3) {
		questions[c.Key]++
		switch {
		case c.Key == honest[0].Key, c.At[0] == 0 && c.At[1] == 0:
			c.state = answered
			s.learn(c, lies)
		default:
			c.state = answered
			s.learn(c, honest)
		}
	}
	for key, n := range questions {
		if n != 1 {
			t.Errorf("%s was asked %d times", key.Short(), n)
		}
	}
	sortByDistance(target, honest)
	for _, n := range honest[:3] {
		if questions[n.Key] == 0 {
			t.Error("the nearest honest contact was not asked: every path believed the liar")
		}
	}
}

// TestSearchCountsFewOfOneSubnet: ids of one public subnet do not fill the result, and give way when
// they fail.
func TestSearchCountsFewOfOneSubnet(t *testing.T) {
	var start []Node
	for n := range 30 {
		mob := at(n, fmt.Sprintf("203.0.113.%d:1", n+1))
		mob.At = ID{31: byte(n)}
		start = append(start, mob, at(100+n, fmt.Sprintf("11.%d.0.1:1", n)))
	}
	s := newSearch(ID{}, sdk.NodeKey{}, 10, 3, start)
	s.crowd = 2
	s.next(1).fail()
	for c := s.next(3); c != nil; c = s.next(3) {
		c.state = answered
	}
	mob := 0
	for _, n := range s.nearest() {
		if n.Addr.Addr().As4()[0] == 203 {
			mob++
		}
	}
	if got := len(s.nearest()); got != 10 || mob != 2 {
		t.Errorf("%d found, %d of one subnet; want 10 and 2", got, mob)
	}
}

// TestSearchLooksPastGroundIDs: where ids lie nearer to a target than chance puts them, more are asked.
func TestSearchLooksPastGroundIDs(t *testing.T) {
	var start []Node
	for n := range 20 {
		ground := at(n)
		ground.At = ID{31: byte(n)}
		start = append(start, ground)
	}
	for n := range 200 {
		start = append(start, at(100+n))
	}
	s := newSearch(ID{}, sdk.NodeKey{}, 20, 1, start)
	s.most, s.least = 60, 0.05 // of 200 drawn at random, 10
	for c := s.next(3); c != nil; c = s.next(3) {
		c.state = answered
	}
	if got := len(s.nearest()); got < 25 || got > 60 {
		t.Errorf("%d asked and found, want some beyond the 20 ground ones", got)
	}
}

func TestSearchGoesOnPastTheSlow(t *testing.T) {
	var start []Node
	for n := range 8 {
		start = append(start, at(n))
	}
	s := newSearch(ID{}, sdk.NodeKey{}, 4, 1, start)
	a, b := s.next(2), s.next(2)
	if a == nil || b == nil || s.next(2) != nil {
		t.Fatal("want two at a time")
	}
	a.state, b.state = slow, slow
	for range 4 {
		c := s.next(2)
		if c == nil {
			t.Fatal("the slow ones hold up the search")
		}
		c.state = answered
	}
	if s.next(2) != nil {
		t.Error("asks beyond the k nearest")
	}
	if done, _ := s.progress(); !done {
		t.Error("k answered, but not done")
	}
}

// TestGhostsGoLast: who told of contacts that do not answer is not believed about others, unless these are
// told of by somebody else, or nobody else is left.
func TestGhostsGoLast(t *testing.T) {
	liar, honest := at(1), at(2)
	var lies []Node
	for n := range 20 {
		ghost := at(1000 + n)
		ghost.At = ID{31: byte(n)}
		lies = append(lies, ghost)
	}
	vouched := lies[19]
	s := newSearch(ID{}, sdk.NodeKey{}, 4, 1, []Node{liar, honest})
	var order []Node
	for c := s.next(3); c != nil; c = s.next(3) {
		order = append(order, c.Node)
		switch c.Key {
		case liar.Key:
			c.become(answered)
			s.learn(c, lies)
		case honest.Key:
			c.become(answered)
			s.learn(c, []Node{vouched, at(3), at(4)})
		case vouched.Key, at(3).Key, at(4).Key:
			c.become(answered)
		default:
			c.become(slow)
		}
	}
	asked := func(n Node) int { return slices.Index(order, n) }
	if a, b := asked(vouched), asked(at(3)); a < 0 || b < 0 || len(order) > 2+3+credit {
		t.Errorf("asked in vain: %d in all", len(order))
	}
	if done, _ := s.progress(); !done {
		t.Error("there are four that answer, but it is not done")
	}

	alone := newSearch(ID{}, sdk.NodeKey{}, 4, 1, []Node{liar})
	c := alone.next(3)
	c.become(answered)
	alone.learn(c, lies)
	for range credit {
		alone.next(3).become(slow)
	}
	if done, onlySlow := alone.progress(); done || !onlySlow {
		t.Error("there is nobody else, but ghosts are not worth a moment")
	}
	if alone.next(3) == nil {
		t.Error("there is nobody else, but the ghosts are not asked")
	}
}

// TestFriendsOfTheBusyWait: while some that a contact told of let us wait, others are asked.
func TestFriendsOfTheBusyWait(t *testing.T) {
	liar, honest := at(1), at(2)
	var lies []Node
	for n := range 20 {
		ghost := at(1000 + n)
		ghost.At = ID{31: byte(n)}
		lies = append(lies, ghost)
	}
	s := newSearch(ID{}, sdk.NodeKey{}, 4, 1, []Node{liar, honest})
	for c := s.next(3); c != nil && c.ours; c = s.next(3) {
		c.become(answered)
		if c.Key == liar.Key {
			s.learn(c, lies)
		} else {
			s.learn(c, []Node{at(3), at(4)})
		}
	}
	for _, c := range s.list {
		if c.state == asked {
			c.become(late)
		}
	}
	waiting := 0
	for c := s.next(3); c != nil; c = s.next(3) {
		if c.Key == at(3).Key || c.Key == at(4).Key {
			c.become(answered)
			continue
		}
		waiting++
		c.become(late)
	}
	if waiting >= credit {
		t.Errorf("%d more ghosts are asked before the first are given up", waiting)
	}
}

// TestSearchAsksItsOwnWhereOthersAreFar: a liar tells only of its friends, who are nearer to the target than
// whom we know, but farther than the nearest can be. So those we know are asked as well.
func TestSearchAsksItsOwnWhereOthersAreFar(t *testing.T) {
	place := func(n int, far byte) Node {
		p := at(n)
		p.At = ID{far, byte(n)}
		return p
	}
	liar := place(0, 0x40)
	var own, friends, nearest []Node
	for n := range 8 {
		own = append(own, place(100+n, 0x80))
		friends = append(friends, place(200+n, 0x20))
		nearest = append(nearest, place(300+n, 0x01))
	}
	find := func(widest float64) []Node {
		s := newSearch(ID{}, sdk.NodeKey{}, 4, 1, append([]Node{liar}, own...))
		s.most, s.widest = 12, widest
		for c := s.next(3); c != nil; c = s.next(3) {
			c.become(answered)
			switch c.At[0] {
			case 0x40, 0x20:
				s.learn(c, friends)
			case 0x80:
				s.learn(c, nearest)
			}
		}
		return s.nearest()
	}
	if got := find(1); !slices.Equal(got, friends[:4]) {
		t.Fatalf("without a bound: found %v, want the friends of the liar, or this test shows nothing", got)
	}
	if got := find(0.05); !slices.Equal(got, nearest[:4]) {
		t.Errorf("found %v, want the nearest", got)
	}
}
