package core

import (
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/sdk"
)

// search is the state of one iterative lookup: who is near the target, who was asked, who answered.
//
// It goes on several paths at once. A node is asked on one path only, and what it says is believed on
// that path only, so a liar leads astray the one path it stands on. What all paths found together is
// the result.
//
// Contacts that do not answer count against whoever told of them: while they are many, the others it told
// of wait, and then go last, unless somebody else told of them too.
type search struct {
	target ID
	self   sdk.NodeKey
	k      int
	most   int     // answers in all, where the nearest k are not what they should be; at least k
	least  float64 // how far from the target the k nearest reach, if they are what they seem: at the least
	widest float64 // and at the most
	sparse bool    // they reach farther, all paths taken together
	crowd  int     // contacts of one public subnet that count; 0 = any number
	paths  [][]*candidate
	own    [][]*candidate // of each path, the contacts of our own table, as they were dealt out
	list   []*candidate   // of all paths, nearest first
	known  map[sdk.NodeKey]*candidate

	subnets map[netip.Prefix]int // numbers, from 1, of the public subnets of candidates
}

// ownWords is how many contacts of our own table each of several paths asks in any case: else a liar that
// is asked first could fill the path with its friends, who are nearer to the target than honest ones known
// so far.
const ownWords = 3

// newSearch starts a search at the nearest contacts known, dealt out to the paths in turn.
func newSearch(target ID, self sdk.NodeKey, k, paths int, start []Node) *search {
	s := &search{target: target, self: self, k: k, most: k, widest: 1, known: map[sdk.NodeKey]*candidate{}, subnets: map[netip.Prefix]int{}}
	s.paths, s.own = make([][]*candidate, max(paths, 1)), make([][]*candidate, max(paths, 1))
	for i, n := range start {
		path := i % len(s.paths)
		s.add(path, 1, nil, n)
		if c := s.known[n.Key]; c != nil {
			s.own[path] = append(s.own[path], c)
		}
	}
	return s
}

// inAnyCase are the contacts of our own table that a path asks whatever it finds.
func (s *search) inAnyCase(path int) []*candidate {
	if len(s.paths) == 1 {
		return nil
	}
	return s.own[path][:min(ownWords, len(s.own[path]))]
}

// learn takes what a candidate said into its path.
func (s *search) learn(from *candidate, nodes []Node) {
	s.add(from.path, from.depth+1, from, nodes...)
}

// add takes contacts into a path that somebody told of, or with nil our own table. One that is there already
// and does not answer is tried at the other address: peers move.
func (s *search) add(path, depth int, teller *candidate, nodes ...Node) {
	for _, n := range nodes {
		if n.Key == s.self {
			continue
		}
		c := s.known[n.Key]
		if c == nil {
			c = &candidate{Node: n, path: path, depth: depth, place: place{addr: n.Addr}}
			s.known[n.Key] = c
			s.list = s.insert(s.list, c)
		}
		c.depth = min(c.depth, depth)
		c.saidAt(n.Addr, teller)
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

// subnet is a number for the public subnet of a candidate; 0 = it does not count in any.
func (s *search) subnet(c *candidate) int {
	if c.subnet.addr == c.Addr {
		return c.subnet.n
	}
	c.subnet.addr, c.subnet.n = c.Addr, 0
	if net := counted(c.Addr.Addr()); s.crowd > 0 && net.IsValid() {
		if s.subnets[net] == 0 {
			s.subnets[net] = len(s.subnets) + 1
		}
		c.subnet.n = s.subnets[net]
	}
	return c.subnet.n
}

// near walks the candidates of a list that count: nearest first, without those that failed, those that
// are doubted and those of a subnet with enough nearer ones.
func (s *search) near(list []*candidate, visit func(*candidate) (goOn bool)) {
	seen := make([]int, len(s.subnets)+1)
	for _, c := range list {
		if c.state == failed || c.doubted() {
			continue
		}
		if n := s.subnet(c); n > 0 {
			if n >= len(seen) {
				seen = append(seen, make([]int, n+1-len(seen))...)
			}
			if seen[n]++; seen[n] > s.crowd {
				continue
			}
		}
		if !visit(c) {
			return
		}
	}
}

// enough tells whether so many answers, of which c is the farthest, are all that was looked for. The
// nearest k are, unless they lie otherwise than ids drawn at random do. Nearer: somebody chose ids next
// to the target, and whom these push out is looked for as well. Farther, on all paths together: liars
// tell only of each other, and whoever else is known is asked as well.
func (s *search) enough(n int, c *candidate) bool {
	if n < s.k || n >= s.most {
		return n >= s.most
	}
	reach := gap(s.target, c.At)
	return s.least <= reach && (reach <= s.widest || !s.sparse)
}

// look finds out anew whether the nearest k that answered, of all paths, lie too far from the target, or there are
// none. Whoever walks the candidates looks first.
func (s *search) look() {
	n := 0
	s.sparse = true
	s.near(s.list, func(c *candidate) bool {
		if gap(s.target, c.At) > s.widest {
			return false
		}
		if c.state == answered {
			n++
		}
		s.sparse = n < s.k
		return s.sparse
	})
}

// next is the nearest contact to ask now. At most parallel are asked at once, not counting those that let us
// wait for a moment, of which there may be eight times as many. Paths with the fewest questions under way
// come first, and doubted contacts when there is nobody else.
func (s *search) next(parallel int) *candidate {
	s.look()
	asking := make([]int, len(s.paths))
	all, waiting, open := 0, 0, false
	for _, c := range s.list {
		switch c.state {
		case asked:
			asking[c.path]++
			all++
		case late, slow:
			waiting++
		}
		open = open || (c.state == asked || c.state == late) && !c.doubted()
	}
	if all >= parallel || waiting >= 8*parallel {
		return nil
	}
	next := s.nextOf(asking, s.freshOn)
	if next == nil && !open {
		next = s.nextOf(asking, s.doubtedOn)
	}
	return next
}

// nextOf asks the contact that a path offers, of the path with the fewest questions under way.
func (s *search) nextOf(asking []int, offer func(path int) *candidate) *candidate {
	var first *candidate
	var on int
	for path := range s.paths {
		if c := offer(path); c != nil && (first == nil || asking[path] < asking[on]) {
			first, on = c, path
		}
	}
	if first != nil {
		first.state, first.path = asked, on // whichever path told of it first
	}
	return first
}

// freshOn is the contact that a path has to ask next: the nearest, but one of our own table where what the
// others told of is sparse.
func (s *search) freshOn(path int) (found *candidate) {
	if c := firstFresh(s.inAnyCase(path)); c != nil {
		return c
	}
	n := 0
	s.near(s.paths[path], func(c *candidate) bool {
		switch {
		case c.state == slow, c.state == fresh && c.waits():
			return true
		case c.state == fresh:
			found = c
			return false
		}
		n++
		if n >= s.k && n < s.most && s.sparse && gap(s.target, c.At) > s.widest {
			found = firstFresh(s.own[path])
		}
		return found == nil && !s.enough(n, c)
	})
	return found
}

func firstFresh(list []*candidate) *candidate {
	for _, c := range list {
		if c.state == fresh {
			return c
		}
	}
	return nil
}

// doubtedOn is the nearest doubted contact of a path that has not found enough others.
func (s *search) doubtedOn(path int) *candidate {
	if done, _ := s.pathProgress(path); done {
		return nil
	}
	at := slices.IndexFunc(s.paths[path], func(c *candidate) bool { return c.state == fresh && c.doubted() })
	if at < 0 {
		return nil
	}
	return s.paths[path][at]
}

// progress tells whether the search is done, and if not, whether only slow and doubted contacts are
// waited for.
func (s *search) progress() (done, onlySlow bool) {
	s.look()
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
	for _, c := range s.inAnyCase(path) {
		if c.state <= late {
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
		case fresh, asked, late:
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
	waiting = waiting || slices.ContainsFunc(s.paths[path], (*candidate).doubted)
	return !waiting, waiting
}

// nearest lists who answered, nearest first, as many as were looked for.
func (s *search) nearest() []Node {
	s.look()
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
