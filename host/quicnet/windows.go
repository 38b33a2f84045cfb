package quicnet

import (
	"sync"

	"github.com/quic-go/quic-go"
)

// windows bounds by how much all receive windows together may grow, so that many greedy peers do not
// each hold the most that one may.
type windows struct {
	budget uint64

	mu    sync.Mutex // guards below
	grown map[*quic.Conn]uint64
	total uint64
}

func newWindows(budget int) *windows {
	return &windows{budget: uint64(budget), grown: map[*quic.Conn]uint64{}}
}

// allow is asked by quic-go whether a connection's window may grow.
func (w *windows) allow(c *quic.Conn, delta uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total+delta > w.budget {
		return false
	}
	w.total += delta
	w.grown[c] += delta
	return true
}

// forget gives back what a connection that ended had.
func (w *windows) forget(c *quic.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total -= w.grown[c]
	delete(w.grown, c)
}
