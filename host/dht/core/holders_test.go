package core

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// TestLiarsDoNotDrownAHolder: three of four near a tessera tell of as many holders as they may, each of others that
// nobody else tells of. The one that the rest tell of comes first, before all that were made up.
func TestLiarsDoNotDrownAHolder(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	tessera := sdk.TesseraID{1}
	pointer := func(holder int) wire.Pointer {
		return wire.Pointer{Tessera: tessera, Holder: at(holder).Contact, Time: now, Expires: now.Add(time.Hour)}
	}
	c := New(at(1000), Config{}, rand.New(rand.NewPCG(1, 1)))
	honest := map[sdk.NodeKey]bool{}
	for i := range 60 {
		c.Met(now, Peer{Node: at(i)})
		honest[at(i).Key] = i%4 == 0
	}
	var found Found
	c.FindHolders(now, tessera, func(_ time.Time, f Found) { found = f })
	real, made := pointer(2000), 0
	for out := c.Outbox(); len(out) > 0; out = c.Outbox() {
		for _, s := range out {
			var a Answer
			if honest[s.To.Key] {
				a.Pointers = []wire.Pointer{real}
			} else {
				for range wire.MaxPointers {
					made++
					a.Pointers = append(a.Pointers, pointer(2000+made))
				}
			}
			c.Answered(now, s.Query, a)
		}
	}
	t.Logf("%d were made up", made)
	if n := len(found.Pointers); n != maxHolders || found.Pointers[0] != real {
		t.Errorf("of %d holders the one that is there is not the first", n)
	}
}
