package core

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

// at is contact in its place.
func at(n int, addr ...string) Node { return Place(contact(n, addr...)) }

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
			was := slices.Index(order, c)
			if rapid.Bool().Draw(t, "remove") {
				tab.remove(c.Key)
				if was >= 0 {
					order = slices.Delete(order, was, was+1)
				}
				continue
			}
			ping, full := tab.heard(Place(c))
			switch bucket := inBucket(i); {
			case was >= 0:
				order = append(slices.Delete(order, was, was+1), c)
			case len(bucket) < size:
				order = append(order, c)
			case !full || ping.Contact != bucket[0]:
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
	var same []Node // three contacts of one bucket
	for n := 0; len(same) < 3; n++ {
		if c := at(n); sharedBits(tab.own, c.At) == 0 {
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
	if got := tab.closest(tab.own, 9, nil); !slices.Equal(got, []Node{moved}) {
		t.Error("a contact that moved keeps its old address")
	}
}

func TestSubnetCaps(t *testing.T) {
	tab := newTable(ID(contact(5000).ID()), 20, caps{bucket: 2, table: 3})
	for n := range 200 {
		tab.heard(at(n, fmt.Sprintf("203.0.113.%d:4433", n)))
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
		tab.heard(at(1000+n, fmt.Sprintf("192.168.1.%d:4433", n)))
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
	s := newPointers(ID{}, 100, nil)
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
	s := newPointers(ID{}, 10, nil)
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
	crowd := newPointers(ID{}, 1000, nil)
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
		s := newPointers(ID{7}, limit, nil)
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

// TestProvenPointersStay: whatever comes, an unproven pointer never takes the place of a proven one.
func TestProvenPointersStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
		proven := func(_ sdk.TesseraID, k sdk.NodeKey) bool { return k[7]%2 == 1 }
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		s := newPointers(ID{7}, limit, proven)
		kept := func() (n int) {
			for _, holders := range s.all {
				for k := range holders {
					if proven(sdk.TesseraID{}, k) {
						n++
					}
				}
			}
			return n
		}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			now = now.Add(time.Minute)
			before, count := kept(), s.count
			p := pointer(byte(rapid.IntRange(0, 3).Draw(t, "tessera")), rapid.IntRange(0, 30).Draw(t, "holder"), now, "203.0.113.7:1")
			took := s.put(p)
			switch after := kept(); {
			case after < before:
				t.Fatal("a proven pointer is gone")
			case !proven(p.Tessera, p.Holder.Key):
			case !took && after < count:
				// it was refused while there was an unproven one that could have given way
				for holder := range s.all[p.Tessera] {
					if !proven(p.Tessera, holder) {
						t.Fatal("a proven pointer was refused for an unproven one of its tessera")
					}
				}
			}
			if len(s.order) != len(s.all) || s.count > limit {
				t.Fatalf("%d in order of %d, %d of %d pointers", len(s.order), len(s.all), s.count, limit)
			}
		}
	})
}

// TestClosestAgainstSorting: walking the buckets gives what sorting the whole table gives, also where
// ids have the zero bits of a proof of work and targets have not.
func TestClosestAgainstSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]int{0, 0, 3, 8, 12}).Draw(t, "bits of work")
		draw := func(name string) ID { return ID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name)) }
		self := Node{At: without(draw("own"), bits)}
		c := New(self, Config{PowBits: bits, K: rapid.IntRange(1, 5).Draw(t, "k")}, rand.New(rand.NewPCG(1, 1)))
		for n := range rapid.IntRange(0, 60).Draw(t, "nodes") {
			c.table.heard(Node{contact(n), without(draw("node"), bits)})
		}
		var all []Node
		for _, b := range c.table.buckets {
			all = append(all, b...)
		}
		target := rapid.SampledFrom([]ID{self.At, draw("target")}).Draw(t, "which")
		sortByDistance(target, all)
		n := rapid.IntRange(0, 30).Draw(t, "n")
		if got, want := c.table.closest(c.spot(target), n, nil), all[:min(n, len(all))]; !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

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
