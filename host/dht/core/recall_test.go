package core

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
)

// TestStrangersDoNotFillAStart: however many shook hands before the end, half of those dialled at the next
// start are old acquaintances that used to answer, and no subnet has more than its share.
func TestStrangersDoNotFillAStart(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var peers []Known
	for n := range 40 {
		peers = append(peers, Known{
			Contact: contact(n, fmt.Sprintf("12.0.%d.1:4433", n)), FirstSeen: now.AddDate(-1, 0, n), LastSeen: now.Add(-time.Hour),
			Asked: 1000, Answered: 990,
		})
	}
	for n := range 200 { // older, but no more, or never of use
		gone := Known{Contact: contact(1000+n, fmt.Sprintf("13.0.%d.1:4433", n)), FirstSeen: now.AddDate(-2, 0, 0), Asked: 1000, Answered: 900, Silent: 5}
		if n%2 == 0 {
			gone.Silent, gone.Answered = 0, 3
		}
		peers = append(peers, gone)
	}
	for n := range 400 {
		peers = append(peers, Known{Contact: contact(2000+n, fmt.Sprintf("14.%d.%d.1:4433", n/100, n%100)), FirstSeen: now, LastSeen: now})
	}
	for n := range 200 { // and a subnet that is both old and new
		peers = append(peers, Known{Contact: contact(3000+n, fmt.Sprintf("203.0.113.%d:4433", n)), FirstSeen: now.AddDate(-3, 0, 0), LastSeen: now.Add(time.Minute)})
	}
	c := New(at(9999, "11.0.0.1:4433"), Config{}, rand.New(rand.NewPCG(1, 1)))
	got := c.Recall(peers, 64)
	count := func(net string) (n int) {
		for _, k := range got {
			if netip.MustParsePrefix(net).Contains(k.Addr.Addr()) {
				n++
			}
		}
		return n
	}
	old, gone, strangers, mob := count("12.0.0.0/8"), count("13.0.0.0/8"), count("14.0.0.0/8"), count("203.0.113.0/24")
	if len(got) != 64 || old != 28 || gone != 0 || strangers != 32 || mob != 4 {
		t.Errorf("of %d dialled %d are old acquaintances, %d gone or useless, %d strangers, %d of one subnet", len(got), old, gone, strangers, mob)
	}
	for _, k := range got {
		if _, known := c.Peer(k.Key); !known {
			t.Fatalf("%s is dialled, but not in the book", k)
		}
	}
	if all := c.Recall(peers[:20], 64); len(all) != 20 || slices.Contains(all, identity.Contact{}) {
		t.Errorf("%d of 20 are dialled where there are no more", len(all))
	}
}
