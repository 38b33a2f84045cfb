package host

import (
	"maps"
	"sync"
)

// refusals counts what strangers and peers did or said that this node did not take, by what it was. The names
// are those of the packages that refuse, a few dozen.
type refusals struct {
	mu     sync.Mutex // guards below
	counts map[string]uint64
}

func (r *refusals) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]uint64{}
	}
	r.counts[what]++
}

func (r *refusals) all() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
