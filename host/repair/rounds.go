package repair

import (
	"maps"
	"sync"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// rounds is what a node remembers from one round to the next, as long as the process lives. Without it a
// node asks holders again that it left alone. How many rounds there were, and since when a tessera is not at
// its target or a fragment of it surplus, is in the index: a node that is started anew every day would never
// come to its turn otherwise.
type rounds struct {
	mu    sync.Mutex                  // guards below
	when  map[sdk.TesseraID]time.Time // when a tessera was last checked here
	tried map[sdk.NodeKey]time.Time   // when a silent holder was last asked
	retry time.Duration               // for so long a silent holder is left alone that nobody has met since
}

func newRounds(interval time.Duration) *rounds {
	return &rounds{
		when: map[sdk.TesseraID]time.Time{}, tried: map[sdk.NodeKey]time.Time{},
		retry: min(max(interval/2, leastRetry), mostRetry),
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

// How long a silent holder is left alone: it is not asked for each page of a round, and where rounds follow one
// another in seconds not in each of them. In the next round after a partition it has to be asked, or what it
// has would be rebuilt though it is back.
const (
	leastRetry = 30 * time.Second
	mostRetry  = 10 * time.Minute
)

// leave tells that a silent holder need not be asked again yet.
func (r *rounds) leave(k sdk.NodeKey, met, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := r.tried[k]
	return known && !met.After(at) && now.Sub(at) < r.retry && !at.After(now)
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
}
