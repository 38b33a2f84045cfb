package repair

import (
	"maps"
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// rounds is what a node remembers from one round to the next, as long as the process lives. Without it a
// node asks holders again that it left alone, and gives up later what is surplus. How many rounds there
// were, and since when a tessera is not at its target, is in the index: a node that is started anew every
// day would never come to its turn otherwise.
type rounds struct {
	mu      sync.Mutex                  // guards below
	when    map[sdk.TesseraID]time.Time // when a tessera was last checked here
	surplus map[surplusKey]time.Time    // since when another proved to have a fragment of ours
	tried   map[sdk.NodeKey]time.Time   // when a silent holder was last asked
}

type surplusKey struct {
	tessera sdk.TesseraID
	index   int
}

func newRounds() *rounds {
	return &rounds{
		when: map[sdk.TesseraID]time.Time{}, surplus: map[surplusKey]time.Time{}, tried: map[sdk.NodeKey]time.Time{},
	}
}

// checked notes that a tessera was checked.
func (r *rounds) checked(t sdk.TesseraID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.when[t] = now
}

func (r *rounds) lastChecked(t sdk.TesseraID) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.when[t]
}

// twice tells since how long a fragment is at another holder too; over forgets it.
func (r *rounds) twice(t sdk.TesseraID, index int, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := surplusKey{t, index}
	since, known := r.surplus[k]
	if !known || since.After(now) {
		r.surplus[k] = now
		return 0
	}
	return now.Sub(since)
}

func (r *rounds) once(t sdk.TesseraID, index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.surplus, surplusKey{t, index})
}

// retryAfter is how long a silent holder is left alone that nobody has met since.
const retryAfter = 10 * time.Minute

// leave tells that a silent holder need not be asked again yet.
func (r *rounds) leave(k sdk.NodeKey, met, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := r.tried[k]
	return known && !met.After(at) && now.Sub(at) < retryAfter && !at.After(now)
}

// silent notes that a holder did not answer; answered that it did.
func (r *rounds) silent(k sdk.NodeKey, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried[k] = now
}

func (r *rounds) answered(k sdk.NodeKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tried, k)
}

// forget drops what is too old to matter, so that memory follows what is kept here.
func (r *rounds) forget(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := func(at time.Time) bool { return at.Before(before) }
	maps.DeleteFunc(r.when, func(_ sdk.TesseraID, at time.Time) bool { return old(at) })
	maps.DeleteFunc(r.tried, func(_ sdk.NodeKey, at time.Time) bool { return old(at) })
	maps.DeleteFunc(r.surplus, func(k surplusKey, _ time.Time) bool { _, checked := r.when[k.tessera]; return !checked })
}
