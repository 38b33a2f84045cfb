// Package tempo answers: which transfer is so slow beside the others that somebody else should be asked
// too?
//
// A peer that lets bytes trickle is never silent, so that silence alone does not find it. What counts is
// how long a transfer would still take at the pace of its last seconds, beside what others took. The
// answer is about one transfer: it says nothing about the peer, and is held against nobody.
package tempo

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Patience is for how long no transfer is too slow, and what one may always take until it is done.
const Patience = 5 * time.Second

const (
	// tooSlow is by how many times what is left of a transfer exceeds what others take for all of it.
	tooSlow = 3
	// floor is how many bytes a second are slow even where there is nothing to compare with.
	floor = 64 << 10
	// forever is what a transfer takes that does not move.
	forever = time.Duration(math.MaxInt64)
)

// Field is a set of transfers of equal size that run beside each other. It is safe for concurrent use.
type Field struct {
	size int64

	mu       sync.Mutex // guards below, and the transfers
	running  []*Transfer
	finished []time.Duration // sorted
	guess    time.Time       // when a transfer may next be called slow with nothing to compare with
	wait     time.Duration   // until the guess after that
}

// NewField returns a Field for transfers of so many bytes. Where size is 0 nothing is known of them, and
// none is ever late.
func NewField(size int64) *Field { return &Field{size: size, wait: Patience} }

// Transfer is one transfer under way; it ends with End.
type Transfer struct {
	field *Field
	begun time.Time
	last  time.Time // of the latest bytes, or begun
	moved int64
	late  bool
	// Its pace is measured from before to now; mark takes the place of before once it is old enough.
	before, mark mark
}

// mark is how far a transfer was at a time.
type mark struct {
	at    time.Time
	moved int64
}

// Begin enters a transfer that starts now.
func (f *Field) Begin() *Transfer {
	now := time.Now()
	start := mark{at: now}
	t := &Transfer{field: f, begun: now, last: now, before: start, mark: start}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = append(f.running, t)
	return t
}

// Moved tells that n more bytes went over.
func (t *Transfer) Moved(n int) {
	t.field.mu.Lock()
	defer t.field.mu.Unlock()
	now := time.Now()
	t.last, t.moved = now, t.moved+int64(n)
	if now.Sub(t.mark.at) >= Patience {
		t.before, t.mark = t.mark, mark{now, t.moved}
	}
}

// End takes a transfer out. One that came to a good end is what others are compared with.
func (t *Transfer) End(good bool) {
	f := t.field
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = slices.DeleteFunc(f.running, func(o *Transfer) bool { return o == t })
	if !good {
		return
	}
	took := time.Since(t.begun)
	at, _ := slices.BinarySearch(f.finished, took)
	f.finished = slices.Insert(f.finished, at, took)
}

// Silence is how long nothing has moved.
func (t *Transfer) Silence() time.Duration {
	t.field.mu.Lock()
	defer t.field.mu.Unlock()
	return time.Since(t.last)
}

// Left is how long the transfer will still take at the pace of its last seconds. Where all bytes are over
// and the answer is due, it is as long again as that has been.
func (t *Transfer) Left() time.Duration {
	t.field.mu.Lock()
	defer t.field.mu.Unlock()
	return t.leftLocked(time.Now())
}

func (t *Transfer) leftLocked(now time.Time) time.Duration {
	left := t.field.size - t.moved
	if left <= 0 {
		return now.Sub(t.last)
	}
	pace := t.paceLocked(now)
	if pace == 0 {
		return forever
	}
	return time.Duration(min(float64(left)/pace, forever.Seconds()/2) * float64(time.Second))
}

// paceLocked is the bytes a second of its last seconds.
func (t *Transfer) paceLocked(now time.Time) float64 {
	if !now.After(t.before.at) {
		return 0
	}
	return float64(t.moved-t.before.moved) / now.Sub(t.before.at).Seconds()
}

// Late tells whether another should be asked too: what is left would take much longer than others need
// for the whole. Where no others show what is usual a slow transfer is called late on a guess, each guess
// after twice the time since the last: the fault may be this node's own line. Once late it stays so, and
// is no longer what others are compared with.
func (t *Transfer) Late() bool {
	f := t.field
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if t.late || f.size <= 0 || now.Sub(t.begun) < Patience {
		return t.late
	}
	left := t.leftLocked(now)
	if left <= Patience {
		return false
	}
	t.late = f.slowLocked(t, left, now) || f.guessLocked(t, left, now)
	return t.late
}

// slowLocked compares with what others took, and with what those take that move.
func (f *Field) slowLocked(t *Transfer, left time.Duration, now time.Time) bool {
	others := slices.Clone(f.finished)
	for _, o := range f.running {
		if o != t && !o.late && o.moved > 0 && now.Sub(o.begun) >= Patience {
			others = append(others, addUp(now.Sub(o.begun), o.leftLocked(now)))
		}
	}
	slices.Sort(others)
	usual, known := median(others)
	return known && left/tooSlow > usual
}

// guessLocked tells whether a transfer is slow with too little to compare it with: those that move beside
// it may be as bad.
func (f *Field) guessLocked(t *Transfer, left time.Duration, now time.Time) bool {
	if t.paceLocked(now) >= floor || now.Before(f.guess) {
		return false
	}
	if usual, known := median(f.finished); known && left/tooSlow <= usual {
		return false
	}
	f.guess, f.wait = now.Add(f.wait), 2*f.wait
	return true
}

// median is the middle of a sorted list, the larger one of two.
func median(sorted []time.Duration) (middle time.Duration, known bool) {
	if len(sorted) == 0 {
		return 0, false
	}
	return sorted[len(sorted)/2], true
}

func addUp(a, b time.Duration) time.Duration {
	if b > forever-a {
		return forever
	}
	return a + b
}
