package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// keeper is a node on a public address that others store pointers at.
func keeper() *Core {
	return New(at(1000, "11.0.0.1:4433"), Config{}, rand.New(rand.NewPCG(1, 1)))
}

// offers has a peer store pointers and tells how many are kept.
func (c *Core) offers(now time.Time, from identity.Contact, pointers ...wire.Pointer) int {
	return c.Ask(now, from, Question{Kind: StorePointers, Pointers: pointers}).Stored
}

// TestHoldersSpeakForThemselves: a stranger with pointers of many keys, all of them good, leaves the slots
// of a tessera to its holders.
func TestHoldersSpeakForThemselves(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c := keeper()
	var made []wire.Pointer
	for n := range perTessera {
		made = append(made, pointer(7, 2000+n, now, fmt.Sprintf("12.0.%d.1:4433", n)))
	}
	if n := c.offers(now, contact(5000, "203.0.113.9:4433"), made...); n != 0 {
		t.Errorf("%d pointers of others are kept", n)
	}
	holder := contact(1, "13.0.0.1:4433")
	if c.offers(now, holder, pointer(7, 1, now, "13.0.0.1:4433")) != 1 {
		t.Error("the holder's own is refused")
	}
}

// TestSlotsCountWhereTheSenderIsSeen, whatever address its pointer names.
func TestSlotsCountWhereTheSenderIsSeen(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c := keeper()
	stored := 0
	for n := range 3 * perSubnet {
		mob := contact(n, fmt.Sprintf("203.0.113.%d:4433", n))
		stored += c.offers(now, mob, pointer(7, n, now, fmt.Sprintf("12.0.%d.1:4433", n)))
	}
	if stored != perSubnet {
		t.Errorf("a subnet has %d slots, want %d", stored, perSubnet)
	}
}

// TestPrivatePointersStayPrivate: one on a public address neither stores them nor is told of them, and is
// not believed when it tells of them.
func TestPrivatePointersStayPrivate(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c := keeper()
	public, private := contact(1, "12.0.0.1:4433"), contact(2, "192.168.0.2:4433")
	for _, addr := range []string{"127.0.0.1:22", "10.0.0.1:22", "192.168.0.1:22", "[fc00::1]:22", "[::1]:22", "169.254.0.1:22"} {
		if c.offers(now, public, pointer(7, 1, now, addr)) != 0 {
			t.Errorf("%s from a public address is kept", addr)
		}
	}
	if c.offers(now, private, pointer(7, 2, now, "192.168.0.2:4433")) != 1 {
		t.Fatal("a private address of a private peer is refused")
	}
	q := Question{Kind: FindPointers, Target: ID(sdk.TesseraID{7})}
	if told := c.Ask(now, public, q).Pointers; len(told) != 0 {
		t.Errorf("one on a public address is told of %v", told[0].Holder)
	}
	told := c.Ask(now, contact(3, "192.168.0.3:4433"), q)
	if len(told.Pointers) != 1 {
		t.Fatal("one on a private address is told of nothing")
	}
	asker := New(at(2000, "14.0.0.1:4433"), Config{}, rand.New(rand.NewPCG(1, 1)))
	asker.Met(now, Peer{Node: at(1000, "11.0.0.1:4433")})
	var found Found
	asker.FindHolders(now, sdk.TesseraID{7}, func(_ time.Time, f Found) { found = f })
	for _, s := range asker.Outbox() {
		asker.Answered(now, s.Query, told)
	}
	if found.Asked != 1 || len(found.Pointers) != 0 {
		t.Errorf("asked %d, believes %v", found.Asked, found.Pointers)
	}
}
