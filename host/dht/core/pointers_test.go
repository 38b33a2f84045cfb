package core

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// pointer makes a pointer as the store sees it: verified already.
func pointer(tessera byte, holder int, at time.Time, addr ...string) wire.Pointer {
	return wire.Pointer{
		Tessera: sdk.TesseraID{tessera}, Holder: contact(holder, addr...), Time: at, Expires: at.Add(wire.PointerLife),
	}
}

// take puts a pointer of a holder that is seen where the pointer says.
func (s *pointers) take(p wire.Pointer) bool { return s.put(p, p.Holder.Addr.Addr()) }

func TestPointers(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newPointers(ID{}, 100, nil)
	s.take(pointer(1, 1, now))
	s.take(pointer(1, 1, now.Add(time.Hour)))
	s.take(pointer(1, 1, now)) // a replay
	s.take(pointer(1, 2, now))
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
		s.take(pointer(byte(100+n), n, now))
	}
	if s.count != 10 || !s.take(pointer(1, 1, now)) || s.count != 10 {
		t.Errorf("%d kept, want 10 with room for a nearer one", s.count)
	}
	if s.take(pointer(255, 1, now)) {
		t.Error("a farther one took the place of a nearer one")
	}
	if len(s.find(sdk.TesseraID{109}, now)) != 0 || len(s.find(sdk.TesseraID{100}, now)) != 1 {
		t.Error("not the farthest one was evicted")
	}
	crowd := newPointers(ID{}, 1000, nil)
	for n := range 100 {
		crowd.take(pointer(1, n, now, fmt.Sprintf("203.0.113.%d:1", n)))
	}
	if crowd.count != perSubnet {
		t.Errorf("one subnet has %d slots of a tessera, want %d", crowd.count, perSubnet)
	}
	for n := range 100 {
		crowd.take(pointer(1, 1000+n, now))
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
			s.take(pointer(rapid.Byte().Draw(t, "tessera"), rapid.IntRange(0, 5).Draw(t, "holder"), now))
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
			took := s.take(p)
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
