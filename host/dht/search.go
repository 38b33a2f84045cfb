package dht

import (
	"net/netip"
	"slices"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// search is the state of one iterative lookup: who is near the target, who was asked, who answered.
// It is plain state: no clock, no lock, no network.
type search struct {
	target ID
	self   sdk.NodeKey
	k      int
	list   []*candidate // nearest first
	known  map[sdk.NodeKey]*candidate
}

type candidate struct {
	placed
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

func newSearch(target ID, self sdk.NodeKey, k int, start []identity.Contact) *search {
	s := &search{target: target, self: self, k: k, known: map[sdk.NodeKey]*candidate{}}
	s.add(start)
	return s
}

// add takes contacts into the list. One that is in it already and does not answer is tried at the
// other address: peers move.
func (s *search) add(contacts []identity.Contact) {
	for _, c := range contacts {
		switch old := s.known[c.Key]; {
		case c.Key == s.self:
		case old == nil:
			s.known[c.Key] = &candidate{placed: place(c)}
			s.list = append(s.list, s.known[c.Key])
		default:
			old.alsoAt(c.Addr)
		}
	}
	slices.SortStableFunc(s.list, func(a, b *candidate) int { return compareDistance(s.target, a.id, b.id) })
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

// next is the nearest contact to ask now, among the k nearest that did not fail; at most parallel are
// asked at once, not counting slow ones, of which there may be twice as many.
func (s *search) next(parallel int) *candidate {
	asking, waiting, near := 0, 0, 0
	var first *candidate
	for _, c := range s.list {
		switch c.state {
		case asked:
			asking++
		case slow:
			waiting++
		case fresh:
			if near < s.k && first == nil {
				first = c
			}
		}
		if c.state != failed && c.state != slow {
			near++
		}
	}
	if asking >= parallel || waiting >= 2*parallel {
		return nil
	}
	if first != nil {
		first.state = asked
	}
	return first
}

// progress tells whether the lookup is done, and if not, whether only slow contacts are waited for.
func (s *search) progress() (done, onlySlow bool) {
	near, waiting := 0, false
	for _, c := range s.list {
		if near == s.k {
			return true, false
		}
		switch c.state {
		case answered:
			near++
		case slow:
			waiting = true
		case fresh, asked:
			return false, false
		}
	}
	return !waiting, waiting
}

// nearest lists who answered, nearest first, at most k.
func (s *search) nearest() []identity.Contact {
	out := make([]identity.Contact, 0, s.k)
	for _, c := range s.list {
		if c.state == answered && len(out) < s.k {
			out = append(out, c.Contact)
		}
	}
	return out
}
