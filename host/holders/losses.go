package holders

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

// Loss is what a holder of a tessera had and lost: it says so itself, or failed to prove it.
type Loss struct {
	Key       sdk.NodeKey
	Nonce     uint64    // of its proof of work
	At        time.Time // when the last of it was found out
	Fragments []int     // by ascending index
}

// maxLosses bounds the pairs of tessera and holder that losses remembers: some tens of MiB of them.
const maxLosses = 1 << 17

// losses remembers who lost fragments of which tesseras, so that these are not given back at once to a disk that
// may well lose them again. A fragment is made good by its proof or a new receipt. They are a hint, in memory
// alone: after a start of this node nobody has lost anything.
type losses struct {
	mu    sync.Mutex // guards below
	of    map[sdk.TesseraID]map[sdk.NodeKey]Loss
	count int // pairs
}

func (l *losses) note(h catalog.Holder, fragments []int, now time.Time) {
	if len(fragments) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.of[h.Tessera]
	loss, known := of[h.Key]
	if !known && l.count >= maxLosses {
		return
	}
	if of == nil {
		of = map[sdk.NodeKey]Loss{}
		if l.of == nil {
			l.of = map[sdk.TesseraID]map[sdk.NodeKey]Loss{}
		}
		l.of[h.Tessera] = of
	}
	if !known {
		l.count++
	}
	all := slices.Concat(loss.Fragments, fragments)
	slices.Sort(all)
	of[h.Key] = Loss{h.Key, h.Nonce, now, slices.Compact(all)}
}

// madeGood forgets that a holder lost a fragment.
func (l *losses) madeGood(t sdk.TesseraID, holder sdk.NodeKey, index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	loss, known := l.of[t][holder]
	if !known {
		return
	}
	loss.Fragments = slices.DeleteFunc(slices.Clone(loss.Fragments), func(i int) bool { return i == index })
	if len(loss.Fragments) > 0 {
		l.of[t][holder] = loss
		return
	}
	l.dropLocked(t, holder)
}

func (l *losses) dropLocked(t sdk.TesseraID, holder sdk.NodeKey) {
	delete(l.of[t], holder)
	l.count--
	if len(l.of[t]) == 0 {
		delete(l.of, t)
	}
}

// forget drops what was found out before a time.
func (l *losses) forget(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t, of := range l.of {
		for holder, loss := range of {
			if loss.At.Before(before) {
				l.dropLocked(t, holder)
			}
		}
	}
}

func (l *losses) list(t sdk.TesseraID, since time.Time) []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Collect(maps.Values(l.of[t]))
	out = slices.DeleteFunc(out, func(loss Loss) bool { return loss.At.Before(since) })
	slices.SortFunc(out, func(a, b Loss) int { return a.At.Compare(b.At) })
	return out
}

// Lost gives who lost fragments of a tessera within the proof period and did not make them good, the oldest first.
// What failed a proof counts for nothing for as long as what was proven counts.
func (b *Book) Lost(t sdk.TesseraID) []Loss { return b.losses.list(t, b.now().Add(-b.config.Period)) }

// ForgetLosses forgets what is older than Lost goes back.
func (b *Book) ForgetLosses() { b.losses.forget(b.now().Add(-b.config.Period)) }

// lostSince gives what a holder does not have any more and no other of all known ones has either: what another has
// was given up for it.
func lostSince(before, now catalog.Holder, all []catalog.Holder) (lost []int) {
	for _, f := range before.Fragments {
		if _, has := slices.BinarySearchFunc(now.Fragments, f.Index, byIndex); has {
			continue
		}
		if !slices.ContainsFunc(all, func(o catalog.Holder) bool { return o.Key != now.Key && standsIn(o, f.Index) }) {
			lost = append(lost, f.Index)
		}
	}
	return lost
}

// standsIn tells whether a holder has a fragment, as far as is known.
func standsIn(h catalog.Holder, index int) bool {
	at, known := slices.BinarySearchFunc(h.Fragments, index, byIndex)
	return known && h.SilentSince.IsZero() && h.Fragments[at].Failed.IsZero()
}
