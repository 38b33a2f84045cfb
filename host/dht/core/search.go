package core

import (
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// search is the state of one iterative lookup: who is near the target, who was asked, who answered.
//
// It goes on several paths at once. A node is asked on one path only, and what it says is believed on
// that path only, so a liar leads astray the one path it stands on. What all paths found together is
// the result.
type search struct {
	target ID
	self   sdk.NodeKey
	k      int
	most   int     // answers in all, where the nearest k are not what they should be; at least k
	least  float64 // how far from the target the k nearest reach, if they are what they seem: at the least
	widest float64 // and at the most
	crowd  int     // contacts of one public subnet that count; 0 = any number
	paths  [][]*candidate
	begin  [][]*candidate // of each path, the contacts of our own table that it asks in any case
	list   []*candidate   // of all paths, nearest first
	known  map[sdk.NodeKey]*candidate
}

type candidate struct {
	Node
	path   int
	depth  int // answers between our own table and this contact
	state  state
	others []netip.AddrPort // where else it was said to be, at most maxOthers in all
	moved  int              // addresses taken from others so far
}

// maxOthers bounds at how many addresses one contact is looked for besides the first.
const maxOthers = 2

type state uint8

const (
	fresh state = iota
	asked
	slow // asked a while ago: others may be asked in its stead
	answered
	failed
)

// ownWords is how many contacts of our own table each path asks in any case: else a liar that is asked
// first could fill the path with its friends, who are nearer to the target than honest ones known so far.
const ownWords = 3

// newSearch starts a search at the nearest contacts known, dealt out to the paths in turn.
func newSearch(target ID, self sdk.NodeKey, k, paths int, start []Node) *search {
	s := &search{target: target, self: self, k: k, most: k, widest: 1, known: map[sdk.NodeKey]*candidate{}}
	s.paths, s.begin = make([][]*candidate, max(paths, 1)), make([][]*candidate, max(paths, 1))
	for i, n := range start {
		path := i % len(s.paths)
		s.add(path, 1, n)
		if c := s.known[n.Key]; c != nil && len(s.begin[path]) < ownWords && paths > 1 {
			s.begin[path] = append(s.begin[path], c)
		}
	}
	return s
}

// learn takes what a candidate said into its path.
func (s *search) learn(from *candidate, nodes []Node) {
	s.add(from.path, from.depth+1, nodes...)
}

// add takes contacts into a path. One that is there already and does not answer is tried at the other
// address: peers move.
func (s *search) add(path, depth int, nodes ...Node) {
	for _, n := range nodes {
		if n.Key == s.self {
			continue
		}
		c := s.known[n.Key]
		if c == nil {
			c = &candidate{Node: n, path: path, depth: depth}
			s.known[n.Key] = c
			s.list = s.insert(s.list, c)
		} else {
			c.alsoAt(n.Addr)
			c.depth = min(c.depth, depth)
		}
		s.paths[path] = s.insert(s.paths[path], c)
	}
}

// insert keeps a list in order of distance, each candidate once.
func (s *search) insert(list []*candidate, c *candidate) []*candidate {
	i, _ := slices.BinarySearchFunc(list, c, func(a, b *candidate) int { return compareDistance(s.target, a.At, b.At) })
	for j := i; j < len(list) && list[j].At == c.At; j++ {
		if list[j] == c {
			return list
		}
	}
	return slices.Insert(list, i, c)
}

func (c *candidate) alsoAt(addr netip.AddrPort) {
	if addr == c.Addr || c.state == answered || len(c.others)+c.moved >= maxOthers || slices.Contains(c.others, addr) {
		return
	}
	if c.others = append(c.others, addr); c.state == failed {
		c.fail()
	}
}

// fail notes that the contact did not answer where it was asked.
func (c *candidate) fail() {
	c.state = failed
	if len(c.others) > 0 {
		c.Addr, c.others, c.state = c.others[0], c.others[1:], fresh
		c.moved++
	}
}

// subnets counts contacts per public subnet.
type subnets struct {
	most  int
	count map[netip.Prefix]int
}

// admit tells whether one more contact of an address may count, and counts it.
func (s *subnets) admit(addr netip.Addr) bool {
	if s.most == 0 || !public(addr) {
		return true
	}
	if s.count == nil {
		s.count = map[netip.Prefix]int{}
	}
	net := identity.Subnet(addr)
	s.count[net]++
	return s.count[net] <= s.most
}

// near walks the candidates of a list that count: nearest first, without those that failed and those
// of a subnet with enough nearer ones.
func (s *search) near(list []*candidate, visit func(*candidate) (goOn bool)) {
	seen := subnets{most: s.crowd}
	for _, c := range list {
		if c.state == failed || !seen.admit(c.Addr.Addr()) {
			continue
		}
		if !visit(c) {
			return
		}
	}
}

// enough tells whether so many answers, of which c is the farthest, are all that was looked for. The
// nearest k are, unless they lie otherwise than ids drawn at random do. Nearer: somebody chose ids next
// to the target, and whom these push out is looked for as well. Farther: liars tell only of each other,
// and whoever else is known is asked as well.
func (s *search) enough(n int, c *candidate) bool {
	if n < s.k || n >= s.most {
		return n >= s.most
	}
	reach := gap(s.target, c.At)
	return s.least <= reach && reach <= s.widest
}

// next is the nearest contact to ask now; at most parallel are asked at once, not counting slow ones,
// of which there may be twice as many. Paths with the fewest questions under way come first.
func (s *search) next(parallel int) *candidate {
	asking, waiting := make([]int, len(s.paths)), 0
	all := 0
	for _, c := range s.list {
		switch c.state {
		case asked:
			asking[c.path]++
			all++
		case slow:
			waiting++
		}
	}
	if all >= parallel || waiting >= 2*parallel {
		return nil
	}
	var first *candidate
	var on int
	for path := range s.paths {
		if c := s.freshOn(path); c != nil && (first == nil || asking[path] < asking[on]) {
			first, on = c, path
		}
	}
	if first != nil {
		first.state, first.path = asked, on // whichever path told of it first
	}
	return first
}

// freshOn is the nearest contact that a path still has to ask.
func (s *search) freshOn(path int) (found *candidate) {
	for _, c := range s.begin[path] {
		if c.state == fresh {
			return c
		}
	}
	n := 0
	s.near(s.paths[path], func(c *candidate) bool {
		switch {
		case c.state == slow:
			return true
		case c.state == fresh:
			found = c
			return false
		}
		n++
		return !s.enough(n, c)
	})
	return found
}

// progress tells whether the search is done, and if not, whether only slow contacts are waited for.
func (s *search) progress() (done, onlySlow bool) {
	done = true
	for path := range s.paths {
		pathDone, pathSlow := s.pathProgress(path)
		if !pathDone && !pathSlow {
			return false, false
		}
		done = done && pathDone
	}
	return done, !done
}

func (s *search) pathProgress(path int) (done, onlySlow bool) {
	for _, c := range s.begin[path] {
		if c.state == fresh || c.state == asked {
			return false, false
		}
	}
	n, waiting, open, full := 0, false, false, false
	s.near(s.paths[path], func(c *candidate) bool {
		switch c.state {
		case answered:
			n++
			full = s.enough(n, c)
		case slow:
			waiting = true
		case fresh, asked:
			open = true
		}
		return !open && !full
	})
	switch {
	case full:
		return true, false
	case open:
		return false, false
	}
	return !waiting, waiting
}

// nearest lists who answered, nearest first, as many as were looked for.
func (s *search) nearest() []Node {
	var out []Node
	s.near(s.list, func(c *candidate) bool {
		if c.state == answered {
			out = append(out, c.Node)
			return !s.enough(len(out), c)
		}
		return true
	})
	return out
}

// hops is how many answers it took to learn of the nearest that answered, our own table being none.
func (s *search) hops() int {
	for _, c := range s.list {
		if c.state == answered {
			return c.depth
		}
	}
	return 0
}
