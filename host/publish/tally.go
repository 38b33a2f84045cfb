package publish

import "sync"

// tally adds up what several goroutines do, and reports each sum in order.
type tally struct {
	mu     sync.Mutex // guards n, and the order of reports
	n      int64
	report func(n int64)
}

func (t *tally) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	t.report(t.n)
}
