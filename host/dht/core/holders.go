package core

import (
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// maxHolders bounds what one search collects.
const maxHolders = 1024

// holders collects the pointers to one tessera from several answers, one per holder, the newest.
type holders struct {
	self    sdk.NodeKey
	tessera sdk.TesseraID
	list    []wire.Pointer
	at      map[sdk.NodeKey]int
}

func newHolders(self sdk.NodeKey, t sdk.TesseraID) *holders {
	return &holders{self: self, tessera: t, at: map[sdk.NodeKey]int{}}
}

// any tells whether a holder was found.
func (h *holders) any() bool { return h != nil && len(h.list) > 0 }

func (h *holders) add(pointers []wire.Pointer) {
	for _, p := range pointers {
		i, known := h.at[p.Holder.Key]
		switch {
		case p.Holder.Key == h.self, p.Tessera != h.tessera:
		case known && p.Time.After(h.list[i].Time):
			h.list[i] = p
		case !known && len(h.list) < maxHolders:
			h.at[p.Holder.Key] = len(h.list)
			h.list = append(h.list, p)
		}
	}
}
