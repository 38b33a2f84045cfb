package dht

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// contact makes the n-th contact of a test, on a loopback address unless one is given.
func contact(n int, addr ...string) identity.Contact {
	c := identity.Contact{Addr: netip.MustParseAddrPort("127.0.0.1:4433")}
	binary.BigEndian.PutUint64(c.Key[:], uint64(n)+1)
	if len(addr) > 0 {
		c.Addr = netip.MustParseAddrPort(addr[0])
	}
	return c
}

func TestDistance(t *testing.T) {
	var a, b ID
	if sharedBits(a, b) != bitsOf {
		t.Error("an id shares all bits with itself")
	}
	for n := range bitsOf {
		b = ID{}
		b[n/8] = 0x80 >> (n % 8)
		if got := sharedBits(a, b); got != n {
			t.Fatalf("shared bits: got %d, want %d", got, n)
		}
	}
}

func TestWithPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := ID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "own"))
		random := ID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random"))
		n := rapid.IntRange(0, bitsOf).Draw(t, "bits")
		if got := sharedBits(own, withPrefix(own, random, n)); got != n {
			t.Fatalf("shares %d bits, want %d", got, n)
		}
	})
}

// TestTableAgainstModel: whatever is heard and removed, the buckets hold what they should.
func TestTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := ID(contact(1000).ID())
		size := rapid.IntRange(1, 4).Draw(t, "bucket size")
		tab := newTable(own, size, caps{})
		var order []identity.Contact // model: everyone in the table, least recently heard first
		inBucket := func(i int) (out []identity.Contact) {
			for _, c := range order {
				if sharedBits(own, ID(c.ID())) == i {
					out = append(out, c)
				}
			}
			return out
		}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			c := contact(rapid.IntRange(0, 30).Draw(t, "contact"))
			i := sharedBits(own, ID(c.ID()))
			at := slices.Index(order, c)
			if rapid.Bool().Draw(t, "remove") {
				tab.remove(c.Key)
				if at >= 0 {
					order = slices.Delete(order, at, at+1)
				}
				continue
			}
			ping, full := tab.heard(c)
			switch bucket := inBucket(i); {
			case at >= 0:
				order = append(slices.Delete(order, at, at+1), c)
			case len(bucket) < size:
				order = append(order, c)
			case !full || ping != bucket[0]:
				t.Fatalf("full bucket: told to ping %v (%v), want %v", ping, full, bucket[0])
			}
		}
		for i := range bitsOf {
			var got []identity.Contact
			for _, p := range tab.buckets[i] {
				got = append(got, p.Contact)
			}
			if want := inBucket(i); !slices.Equal(got, want) {
				t.Fatalf("bucket %d: %v, want %v", i, got, want)
			}
		}
	})
}

func TestTableReplacesTheSilent(t *testing.T) {
	tab := newTable(ID(contact(1000).ID()), 1, caps{})
	var same []identity.Contact // three contacts of one bucket
	for n := 0; len(same) < 3; n++ {
		if c := contact(n); sharedBits(tab.own, ID(c.ID())) == 0 {
			same = append(same, c)
		}
	}
	tab.heard(same[0])
	if ping, full := tab.heard(same[1]); !full || ping != same[0] {
		t.Fatalf("got %v, %v", ping, full)
	}
	tab.replace(same[0].Key, same[1])
	if tab.has(same[0].Key) || !tab.has(same[1].Key) {
		t.Error("the silent contact keeps its place")
	}
	tab.replace(same[0].Key, same[2])
	if tab.has(same[2].Key) {
		t.Error("a contact replaced one that is not there")
	}
	moved := same[1]
	moved.Addr = netip.MustParseAddrPort("127.0.0.9:1")
	tab.heard(moved)
	if got := tab.closest(tab.own, 9, nil); !slices.Equal(got, []identity.Contact{moved}) {
		t.Error("a contact that moved keeps its old address")
	}
}

func TestSubnetCaps(t *testing.T) {
	tab := newTable(ID(contact(5000).ID()), 20, caps{bucket: 2, table: 3})
	for n := range 200 {
		tab.heard(contact(n, fmt.Sprintf("203.0.113.%d:4433", n)))
	}
	if got := len(tab.at); got != 3 {
		t.Errorf("one /24 has %d places in the table, want 3", got)
	}
	for i := range tab.buckets {
		if len(tab.buckets[i]) > 2 {
			t.Errorf("one /24 has %d places in bucket %d", len(tab.buckets[i]), i)
		}
	}
	before := len(tab.at)
	for n := range 30 {
		tab.heard(contact(1000+n, fmt.Sprintf("192.168.1.%d:4433", n)))
	}
	if len(tab.at) < before+20 {
		t.Errorf("a home network is capped: %d", len(tab.at)-before)
	}
	for key := range tab.at {
		tab.remove(key)
	}
	if len(tab.subnets) != 0 {
		t.Errorf("subnets still counted: %v", tab.subnets)
	}
}

// pointer makes a pointer as the store sees it: verified already.
func pointer(tessera byte, holder int, at time.Time, addr ...string) wire.Pointer {
	return wire.Pointer{
		Tessera: sdk.TesseraID{tessera}, Holder: contact(holder, addr...), Time: at, Expires: at.Add(wire.PointerLife),
	}
}

func TestPointers(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newPointers(ID{}, 100)
	s.put(pointer(1, 1, now))
	s.put(pointer(1, 1, now.Add(time.Hour)))
	s.put(pointer(1, 1, now)) // a replay
	s.put(pointer(1, 2, now))
	got := s.find(sdk.TesseraID{1}, now)
	if len(got) != 2 || s.count != 2 || got[0] != pointer(1, 1, now.Add(time.Hour)) {
		t.Errorf("want the newest of each holder, newest first: %v", got)
	}
	if len(s.find(sdk.TesseraID{1}, now.Add(24*time.Hour))) != 1 {
		t.Error("an expired pointer is found")
	}
	s.expire(now.Add(24 * time.Hour))
	if s.count != 1 {
		t.Errorf("%d pointers left after expiry, want 1", s.count)
	}
	s.expire(now.Add(48 * time.Hour))
	if s.count != 0 || len(s.all) != 0 {
		t.Errorf("left over: %v", s.all)
	}
}

func TestPointerLimits(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newPointers(ID{}, 10)
	for n := range 30 {
		s.put(pointer(byte(100+n), n, now))
	}
	if s.count != 10 || !s.put(pointer(1, 1, now)) || s.count != 10 {
		t.Errorf("%d kept, want 10 with room for a nearer one", s.count)
	}
	if s.put(pointer(255, 1, now)) {
		t.Error("a farther one took the place of a nearer one")
	}
	if len(s.find(sdk.TesseraID{109}, now)) != 0 || len(s.find(sdk.TesseraID{100}, now)) != 1 {
		t.Error("not the farthest one was evicted")
	}
	crowd := newPointers(ID{}, 1000)
	for n := range 100 {
		crowd.put(pointer(1, n, now, fmt.Sprintf("203.0.113.%d:1", n)))
	}
	if crowd.count != perSubnet {
		t.Errorf("one subnet has %d slots of a tessera, want %d", crowd.count, perSubnet)
	}
	for n := range 100 {
		crowd.put(pointer(1, 1000+n, now))
	}
	if crowd.count != perTessera {
		t.Errorf("one tessera has %d slots, want %d", crowd.count, perTessera)
	}
}

// TestPointersStayBounded: the count is the number of pointers, whatever is put and expires.
func TestPointersStayBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		s := newPointers(ID{7}, limit)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "hours")) * time.Hour)
			if rapid.IntRange(0, 9).Draw(t, "expire") == 0 {
				s.expire(now)
			}
			s.put(pointer(rapid.Byte().Draw(t, "tessera"), rapid.IntRange(0, 5).Draw(t, "holder"), now))
			n := 0
			for _, holders := range s.all {
				n += len(holders)
			}
			if n != s.count || n > limit {
				t.Fatalf("%d pointers, counted %d, limit %d", n, s.count, limit)
			}
		}
	})
}

// TestSearchOnPaper: on a network that answers at once, a search asks the nearest first, and ends with
// the k nearest of those that answer.
func TestSearchOnPaper(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const nodes, k = 300, 20
	var all []placed
	for n := range nodes {
		all = append(all, place(contact(n)))
	}
	for round := range 50 {
		target := ID(contact(10_000 + round).ID())
		sortByDistance(target, all)
		dead := map[sdk.NodeKey]bool{}
		for _, p := range all {
			dead[p.Key] = rng.IntN(3) == 0
		}
		var want []identity.Contact
		for _, p := range all {
			if !dead[p.Key] && len(want) < k {
				want = append(want, p.Contact)
			}
		}
		s := newSearch(target, sdk.NodeKey{}, k, []identity.Contact{all[nodes-1].Contact, all[nodes-2].Contact, all[nodes-3].Contact, want[0]})
		questions := 0
		for c := s.next(3); c != nil; c = s.next(3) {
			questions++
			if dead[c.Key] {
				c.state = failed
				continue
			}
			c.state = answered
			var closer []identity.Contact
			for _, p := range all[:2*k] { // what a node near the target would say, the dead among it
				closer = append(closer, p.Contact)
			}
			s.add(closer)
		}
		if done, _ := s.progress(); !done {
			t.Fatal("nobody left to ask, but not done")
		}
		if got := s.nearest(); !slices.Equal(got, want) {
			t.Fatalf("round %d: found %d, want %d", round, len(got), len(want))
		}
		if questions > 3*k {
			t.Errorf("%d questions", questions)
		}
	}
}

func TestSearchGoesOnPastTheSlow(t *testing.T) {
	var start []identity.Contact
	for n := range 8 {
		start = append(start, contact(n))
	}
	s := newSearch(ID{}, sdk.NodeKey{}, 4, start)
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
