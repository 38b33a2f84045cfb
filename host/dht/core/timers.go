package core

import (
	"container/heap"
	"time"
)

// timers are what is to be done later, soonest first; what is due at the same time in the order in
// which it was asked for.
type timers struct {
	queue timerQueue
	last  uint64
}

type timer struct {
	at  time.Time
	seq uint64
	do  func(now time.Time)
}

func (t *timers) after(now time.Time, wait time.Duration, do func(now time.Time)) {
	t.last++
	heap.Push(&t.queue, timer{now.Add(wait), t.last, do})
}

func (t *timers) next() (time.Time, bool) {
	if len(t.queue) == 0 {
		return time.Time{}, false
	}
	return t.queue[0].at, true
}

func (t *timers) run(now time.Time) {
	for len(t.queue) > 0 && !t.queue[0].at.After(now) {
		heap.Pop(&t.queue).(timer).do(now)
	}
}

type timerQueue []timer

func (q timerQueue) Len() int      { return len(q) }
func (q timerQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Less implements heap.Interface.
func (q timerQueue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].seq < q[j].seq
}

// Push implements heap.Interface.
func (q *timerQueue) Push(x any) { *q = append(*q, x.(timer)) }

// Pop implements heap.Interface.
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*q = old[:len(old)-1]
	return last
}
