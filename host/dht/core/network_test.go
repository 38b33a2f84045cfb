package core

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

func (w *world) tesseras(n int) (ids []sdk.TesseraID) {
	for range n {
		ids = append(ids, sdk.TesseraID(w.random()))
	}
	return ids
}

// atLeast checks a share in thousandths and that nothing was left out.
func atLeast(t *testing.T, what string, good, of, wanted, thousandths int) {
	t.Helper()
	t.Logf("%s: %d of %d", what, good, of)
	if of < wanted {
		t.Fatalf("%s: %d cases, want %d", what, of, wanted)
	}
	if good*1000 < of*thousandths {
		t.Errorf("%s: %d of %d, want %d in a thousand", what, good, of, thousandths)
	}
}

// TestNetworkFindsEverything: without attackers lookups find the nearest node and every holder, in a few
// hops, with tables far smaller than the network.
func TestNetworkFindsEverything(t *testing.T) {
	w := begin(t, 1)
	n := size().nodes
	w.found(make([]settler, n)...)
	most := 0
	for _, c := range w.nodes {
		most = max(most, c.Table())
	}
	t.Logf("%d nodes, largest table %d, %d questions", n, most, w.asked)
	if most*4 > n || most > 400 {
		t.Errorf("a table of %d contacts in a network of %d", most, n)
	}
	good, hops := w.lookups(t, size().lookups)
	atLeast(t, "lookups", good, len(hops), least(1000), 999)
	slices.Sort(hops)
	median, last := hops[len(hops)/2], hops[len(hops)-1]
	t.Logf("hops: median %d, most %d", median, last)
	if median < 2 || median > 4 {
		t.Errorf("median of %d hops, want 2 to 4", median)
	}
	ids := w.tesseras(100)
	holders := w.publish(t, ids)
	atLeast(t, "searches", w.seek(t, size().lookups/3, ids, holders), size().lookups/3, least(300), 999)
}

// TestNetworkSurvivesChurn: a third of the nodes die at once, the rest find what there is.
func TestNetworkSurvivesChurn(t *testing.T) {
	w := begin(t, 2)
	w.found(make([]settler, size().few)...)
	ids := w.tesseras(50)
	holders := w.publish(t, ids)
	for _, c := range w.nodes {
		if w.rng.IntN(3) == 0 && !slices.Contains(holders, c.self.Contact) {
			c.down = true
		}
	}
	w.run(10 * time.Minute)
	w.stroll()
	atLeast(t, "searches", w.seek(t, size().searches, ids, holders), size().searches, least(300), 999)
	good, hops := w.lookups(t, size().searches)
	atLeast(t, "lookups", good, len(hops), least(300), 999)
}

// TestEclipseByAFifth (G18): a fifth of the nodes lie about everything. They have no more than their share of
// the places in tables, and lookups find what there is.
func TestEclipseByAFifth(t *testing.T) {
	w := begin(t, 3)
	settlers := make([]settler, size().honest*5/4)
	for i := range settlers {
		settlers[i].hostile = i%5 == 4
	}
	w.found(settlers...)
	all, theirs := w.places()
	t.Logf("%d of %d places are those of liars", theirs, all)
	if all < 20*size().honest || theirs*5 > all {
		t.Errorf("liars have %d of %d places", theirs, all)
	}
	good, hops := w.lookups(t, size().searches)
	atLeast(t, "lookups", good, len(hops), least(300), 990)
	ids := w.tesseras(100)
	holders := w.publish(t, ids)
	atLeast(t, "searches", w.seek(t, size().searches, ids, holders), size().searches, least(300), 990)
}

// TestGroundIDs (G18): for each of some keys twenty liars sit nearer to it than anybody by chance.
func TestGroundIDs(t *testing.T) {
	w := begin(t, 4)
	w.found(make([]settler, size().few)...)
	ids := w.tesseras(size().keys)
	for _, id := range ids {
		for i := range 20 {
			at := ID(id)
			binary.BigEndian.PutUint64(at[24:], w.rng.Uint64()|uint64(i)<<59)
			w.arrive(settler{at: at, hostile: true})
		}
	}
	w.run(time.Minute)
	w.stroll()
	holders := w.publish(t, ids)
	atLeast(t, "searches", w.seek(t, size().searches, ids, holders), size().searches, least(300), 950)
}

// TestOneSubnetWithManyIDs (G18): hundreds of liars of one /24 never have more places than their subnet may.
func TestOneSubnetWithManyIDs(t *testing.T) {
	w := begin(t, 5)
	settlers := make([]settler, size().few, size().few+size().mob)
	for i := range size().mob {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), uint16(1000+i))
		settlers = append(settlers, settler{addr: addr, hostile: true})
	}
	w.rng.Shuffle(len(settlers), func(i, j int) { settlers[i], settlers[j] = settlers[j], settlers[i] })
	for i := range settlers {
		settlers[i].trusts = true
	}
	settlers[0].hostile = false // somebody to join
	mob := netip.MustParsePrefix("203.0.113.0/24")
	checked := 0
	check := func() {
		for _, c := range w.nodes {
			table, checked0 := 0, checked
			for i := range c.table.buckets {
				bucket := 0
				for _, n := range c.table.buckets[i] {
					if mob.Contains(n.Addr.Addr()) {
						bucket++
					}
				}
				checked++
				if table += bucket; bucket > 4 {
					t.Fatalf("%d of one subnet in a bucket", bucket)
				}
			}
			if checked0 == checked || table > 16 {
				t.Fatalf("%d of one subnet in a table", table)
			}
		}
	}
	for i, s := range settlers {
		if w.arrive(s); i%100 == 0 {
			check()
		}
	}
	w.run(time.Minute)
	w.stroll()
	check()
	t.Logf("%d buckets checked", checked)
	good, hops := w.lookups(t, size().searches)
	atLeast(t, "lookups", good, len(hops), least(300), 990)
	ids := w.tesseras(50)
	holders := w.publish(t, ids)
	atLeast(t, "searches", w.seek(t, size().searches, ids, holders), size().searches, least(300), 990)
}

// TestSameSeedSameRun (I9): nothing but the seed decides what is said, and when.
func TestSameSeedSameRun(t *testing.T) {
	abreast(t)
	run := func(seed uint64) (uint64, int) {
		w := newWorld(seed)
		w.found(make([]settler, size().replayed)...)
		ids := w.tesseras(20)
		holders := w.publish(t, ids)
		for i, c := range w.nodes {
			c.down = i%4 == 3 && !slices.ContainsFunc(holders, func(h identity.Contact) bool { return h == c.self.Contact })
		}
		w.run(10 * time.Minute)
		w.stroll()
		w.seek(t, 40, ids, holders)
		return w.trace.Sum64(), w.asked
	}
	s := suite.UsualSeed(t, 6)
	first, asked := run(s)
	again, askedAgain := run(s)
	if first != again || asked != askedAgain || asked < 1000 {
		t.Errorf("the same seed: %d questions (%x), then %d (%x)", asked, first, askedAgain, again)
	}
	if other, _ := run(s + 1); other == first {
		t.Error("another seed gives the same run: the trace sees nothing")
	}
}
