package core

import (
	"net/netip"
	"slices"
)

// candidate is a contact that a search may ask, and what is known of it.
type candidate struct {
	Node
	path   int
	depth  int // answers between our own table and this contact
	state  state
	place           // where it is asked
	others []place  // where else it was said to be, at most maxOthers in all
	moved  int      // addresses taken from others so far
	subnet struct { // as search.subnet last found it
		addr netip.AddrPort
		n    int
	}

	// Of those it told of: who answered, who lets us wait for a moment, and who was silent.
	kept, late, lost int
}

// place is where a contact is said to be: the address is the contact's own or in others.
type place struct {
	addr netip.AddrPort
	ours bool         // by our own table
	by   []*candidate // and by these
}

// maxOthers bounds at how many addresses one contact is looked for besides the first.
const maxOthers = 2

// credit is how many more of a contact's friends may be silent than answer until it is not believed.
const credit = 3

type state uint8

const (
	fresh state = iota
	asked
	late // asked a moment ago: somebody else may be asked beside it
	slow // asked a while ago: others may be asked in its stead
	answered
	failed
)

// saidAt notes who says that the contact is at an address, as long as it was not asked there in vain.
func (c *candidate) saidAt(addr netip.AddrPort, teller *candidate) {
	at := c.at(addr)
	switch {
	case at == nil:
		return
	case teller == nil:
		at.ours = true
	case (at != &c.place || c.state < late) && !slices.Contains(at.by, teller):
		at.by = append(at.by, teller)
	}
	if c.state == failed {
		c.move()
	}
}

// at is what is said about an address, which is taken in if there is reason and room; else nil.
func (c *candidate) at(addr netip.AddrPort) *place {
	if addr == c.addr {
		return &c.place
	}
	for i := range c.others {
		if c.others[i].addr == addr {
			return &c.others[i]
		}
	}
	if c.state == answered || len(c.others)+c.moved >= maxOthers {
		return nil
	}
	c.others = append(c.others, place{addr: addr})
	return &c.others[len(c.others)-1]
}

// become changes the state of the contact, which counts for or against those who told of it.
func (c *candidate) become(next state) {
	for _, t := range c.by {
		t.tally(c.state, -1)
		t.tally(next, 1)
	}
	c.state = next
}

func (c *candidate) tally(s state, n int) {
	switch s {
	case answered:
		c.kept += n
	case late:
		c.late += n
	case slow, failed:
		c.lost += n
	}
}

// fail notes that the contact did not answer where it was asked.
func (c *candidate) fail() {
	c.become(failed)
	c.move()
}

// move has a contact that failed asked at the next address, if there is one.
func (c *candidate) move() {
	if len(c.others) == 0 {
		return
	}
	c.place, c.others, c.state = c.others[0], c.others[1:], fresh
	c.Addr = c.addr
	c.moved++
}

// believed tells whether those that the contact told of are asked like others, and busy whether no more of
// them are for the moment.
func (c *candidate) believed() bool { return c.lost < c.kept+credit }
func (c *candidate) busy() bool     { return c.lost+c.late >= c.kept+credit }

// waits tells whether the contact is known only from some that have told of enough already.
func (c *candidate) waits() bool {
	return !c.ours && !slices.ContainsFunc(c.by, func(t *candidate) bool { return !t.busy() })
}

// doubted tells whether the contact, which has not answered yet, is known only from some that are not
// believed.
func (c *candidate) doubted() bool {
	return c.state <= late && !c.ours && !slices.ContainsFunc(c.by, (*candidate).believed)
}
