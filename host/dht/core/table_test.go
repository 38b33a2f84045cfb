package core

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/identity"
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
