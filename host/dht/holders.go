package dht

import (
	"sync"

	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// maxHolders bounds what one search collects.
const maxHolders = 1024

// holders collects pointers from several answers, one per holder, the newest.
type holders struct {
	self sdk.NodeKey

	mu   sync.Mutex // guards below
	list []wire.Pointer
	at   map[sdk.NodeKey]int
}

func newHolders(self sdk.NodeKey) *holders {
	return &holders{self: self, at: map[sdk.NodeKey]int{}}
}

// any tells whether a holder was found.
func (h *holders) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list) > 0
}

func (h *holders) add(pointers []wire.Pointer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range pointers {
		i, known := h.at[p.Holder.Key]
		switch {
		case p.Holder.Key == h.self:
		case known && p.Time.After(h.list[i].Time):
			h.list[i] = p
		case !known && len(h.list) < maxHolders:
			h.at[p.Holder.Key] = len(h.list)
			h.list = append(h.list, p)
		}
	}
}
