package core

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// pointers keeps verified pointers for others to find. Above its limit what lies farthest from us goes
// first: others are nearer to it. A pointer whose holder passed a proof never gives way to one whose
// holder did not.
type pointers struct {
	own    ID
	limit  int
	proven func(sdk.TesseraID, sdk.NodeKey) bool
	all    map[sdk.TesseraID]map[sdk.NodeKey]slot
	order  []sdk.TesseraID // of all, nearest first
	count  int
}

// slot is a pointer and the public subnet it counts in; the zero subnet is not counted.
type slot struct {
	wire.Pointer
	subnet netip.Prefix
}

// Slots per tessera: in all, and for holders of one public subnet.
const (
	perTessera = wire.MaxPointers
	perSubnet  = 8
)

// newPointers makes an empty store. proven tells whether a holder passed a proof for a tessera; nil
// means that none did.
func newPointers(own ID, limit int, proven func(sdk.TesseraID, sdk.NodeKey) bool) *pointers {
	if proven == nil {
		proven = func(sdk.TesseraID, sdk.NodeKey) bool { return false }
	}
	return &pointers{own: own, limit: limit, proven: proven, all: map[sdk.TesseraID]map[sdk.NodeKey]slot{}}
}

// put keeps a verified pointer of a holder that is seen at an address; of one holder for one tessera the
// newest. False: there is no room.
func (s *pointers) put(pointer wire.Pointer, seen netip.Addr) bool {
	p := slot{pointer, subnetOf(seen, pointer)}
	holders := s.all[p.Tessera]
	if old, known := holders[p.Holder.Key]; known {
		if p.Time.After(old.Time) {
			holders[p.Holder.Key] = p
		}
		return true
	}
	if !s.makeSlot(p) || !s.makeRoom(p) {
		return false
	}
	if holders = s.all[p.Tessera]; holders == nil {
		holders = map[sdk.NodeKey]slot{}
		s.all[p.Tessera] = holders
		i, _ := s.place(p.Tessera)
		s.order = slices.Insert(s.order, i, p.Tessera)
	}
	holders[p.Holder.Key] = p
	s.count++
	return true
}

// makeSlot finds a slot of the tessera for a newcomer. Where the tessera or the holder's public subnet
// has all its slots, a proven newcomer takes that of the oldest one that is not.
func (s *pointers) makeSlot(p slot) bool {
	holders := s.all[p.Tessera]
	if same := neighbours(holders, p); len(same) >= perSubnet {
		return s.displace(p, same)
	}
	if len(holders) >= perTessera {
		return s.displace(p, holders)
	}
	return true
}

// displace drops the oldest unproven one among holders for a newcomer that is proven.
func (s *pointers) displace(p slot, holders map[sdk.NodeKey]slot) bool {
	if !s.proven(p.Tessera, p.Holder.Key) {
		return false
	}
	out, found := s.oldestUnproven(holders)
	if found {
		s.drop(p.Tessera, out)
	}
	return found
}

// subnetOf is where a pointer counts: the subnet where its holder is seen, or where that is private the one
// that the pointer names.
func subnetOf(seen netip.Addr, p wire.Pointer) netip.Prefix {
	if net := counted(seen); net.IsValid() {
		return net
	}
	return counted(p.Holder.Addr.Addr())
}

// neighbours are the holders of a newcomer's public subnet.
func neighbours(holders map[sdk.NodeKey]slot, p slot) map[sdk.NodeKey]slot {
	if !p.subnet.IsValid() {
		return nil
	}
	same := map[sdk.NodeKey]slot{}
	for key, h := range holders {
		if h.subnet == p.subnet {
			same[key] = h
		}
	}
	return same
}

// makeRoom evicts the oldest unproven pointer of the farthest tessera if the store is full. A newcomer
// of a tessera farther still has to be proven for that; where all are proven, a proven newcomer that is
// nearer takes the place of the oldest of the farthest.
func (s *pointers) makeRoom(p slot) bool {
	if s.count < s.limit {
		return true
	}
	proven := s.proven(p.Tessera, p.Holder.Key)
	for i := len(s.order) - 1; i >= 0; i-- {
		t := s.order[i]
		if !proven && !s.nearer(p.Tessera, t) {
			return false
		}
		if key, found := s.oldestUnproven(s.all[t]); found {
			s.drop(t, key)
			return true
		}
	}
	if len(s.order) == 0 || !proven || !s.nearer(p.Tessera, s.order[len(s.order)-1]) {
		return false
	}
	t := s.order[len(s.order)-1]
	key, _ := oldest(s.all[t], func(sdk.NodeKey) bool { return true })
	s.drop(t, key)
	return true
}

func (s *pointers) nearer(a, b sdk.TesseraID) bool { return compareDistance(s.own, ID(a), ID(b)) < 0 }

func (s *pointers) oldestUnproven(holders map[sdk.NodeKey]slot) (sdk.NodeKey, bool) {
	return oldest(holders, func(k sdk.NodeKey) bool { return !s.proven(holders[k].Tessera, k) })
}

// oldest is the holder of the oldest pointer among those wanted.
func oldest(holders map[sdk.NodeKey]slot, want func(sdk.NodeKey) bool) (key sdk.NodeKey, found bool) {
	var when time.Time
	for k, p := range holders {
		if want(k) && (!found || p.Time.Before(when) || p.Time.Equal(when) && less(ID(k), ID(key))) {
			key, when, found = k, p.Time, true
		}
	}
	return key, found
}

// place is where a tessera is, or belongs, in the order.
func (s *pointers) place(t sdk.TesseraID) (int, bool) {
	return slices.BinarySearchFunc(s.order, t, func(a, b sdk.TesseraID) int { return compareDistance(s.own, ID(a), ID(b)) })
}

func (s *pointers) drop(tessera sdk.TesseraID, holder sdk.NodeKey) {
	delete(s.all[tessera], holder)
	s.count--
	if len(s.all[tessera]) > 0 {
		return
	}
	delete(s.all, tessera)
	if i, there := s.place(tessera); there {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// find lists the pointers of a tessera that are valid now, newest first.
func (s *pointers) find(tessera sdk.TesseraID, now time.Time) []wire.Pointer {
	var out []wire.Pointer
	for _, p := range s.all[tessera] {
		if p.Expires.After(now) {
			out = append(out, p.Pointer)
		}
	}
	slices.SortFunc(out, func(a, b wire.Pointer) int {
		return cmp.Or(b.Time.Compare(a.Time), compareDistance(ID{}, ID(a.Holder.Key), ID(b.Holder.Key)))
	})
	return out
}

// expire drops what is past its time.
func (s *pointers) expire(now time.Time) {
	for tessera, holders := range s.all {
		for key, p := range holders {
			if !p.Expires.After(now) {
				s.drop(tessera, key)
			}
		}
	}
}
