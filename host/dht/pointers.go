package dht

import (
	"cmp"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// pointers keeps verified pointers for others to find. It is plain state: no clock, no lock, no
// network. Above its limit what lies farthest from us goes first: others are nearer to it.
type pointers struct {
	own   ID
	limit int
	all   map[sdk.TesseraID]map[sdk.NodeKey]wire.Pointer
	count int
}

// Slots per tessera: in all, and for holders of one public subnet.
const (
	perTessera = wire.MaxPointers
	perSubnet  = 8
)

func newPointers(own ID, limit int) *pointers {
	return &pointers{own: own, limit: limit, all: map[sdk.TesseraID]map[sdk.NodeKey]wire.Pointer{}}
}

// put keeps a verified pointer; of one holder for one tessera the newest. False: there is no room.
func (s *pointers) put(p wire.Pointer) bool {
	holders := s.all[p.Tessera]
	if old, known := holders[p.Holder.Key]; known {
		if p.Time.After(old.Time) {
			holders[p.Holder.Key] = p
		}
		return true
	}
	if len(holders) >= perTessera || crowded(holders, p) || !s.makeRoom(ID(p.Tessera)) {
		return false
	}
	if holders == nil {
		holders = map[sdk.NodeKey]wire.Pointer{}
		s.all[p.Tessera] = holders
	}
	holders[p.Holder.Key] = p
	s.count++
	return true
}

// crowded tells whether the holder's public subnet has all its slots for the tessera.
func crowded(holders map[sdk.NodeKey]wire.Pointer, p wire.Pointer) bool {
	if !public(p.Holder.Addr.Addr()) {
		return false
	}
	net, same := identity.Subnet(p.Holder.Addr.Addr()), 0
	for _, h := range holders {
		if identity.Subnet(h.Holder.Addr.Addr()) == net {
			same++
		}
	}
	return same >= perSubnet
}

// makeRoom evicts a pointer of the farthest tessera if the store is full, unless the newcomer's is
// farther still.
func (s *pointers) makeRoom(tessera ID) bool {
	if s.count < s.limit {
		return true
	}
	var farthest sdk.TesseraID
	found := false
	for id := range s.all {
		if !found || compareDistance(s.own, ID(farthest), ID(id)) < 0 {
			farthest, found = id, true
		}
	}
	if !found || compareDistance(s.own, tessera, ID(farthest)) >= 0 {
		return false
	}
	s.drop(farthest, oldest(s.all[farthest]))
	return true
}

func oldest(holders map[sdk.NodeKey]wire.Pointer) sdk.NodeKey {
	var key sdk.NodeKey
	var when time.Time
	for k, p := range holders {
		if when.IsZero() || p.Time.Before(when) || p.Time.Equal(when) && less(ID(k), ID(key)) {
			key, when = k, p.Time
		}
	}
	return key
}

func (s *pointers) drop(tessera sdk.TesseraID, holder sdk.NodeKey) {
	delete(s.all[tessera], holder)
	if len(s.all[tessera]) == 0 {
		delete(s.all, tessera)
	}
	s.count--
}

// find lists the pointers of a tessera that are valid now, newest first.
func (s *pointers) find(tessera sdk.TesseraID, now time.Time) []wire.Pointer {
	var out []wire.Pointer
	for _, p := range s.all[tessera] {
		if p.Expires.After(now) {
			out = append(out, p)
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
