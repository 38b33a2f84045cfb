package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/sdk"
)

// announceAfter is how long new holdings wait for others to be announced with.
const announceAfter = 500 * time.Millisecond

// announcer tells the DHT of tesseras that came into custody since its last regular announcement.
type announcer struct {
	announce func(ctx context.Context, tesseras []sdk.TesseraID) (int, error)
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex // guards waiting
	waiting map[sdk.TesseraID]bool
}

func newAnnouncer(d *dht.DHT, log *slog.Logger) *announcer {
	return &announcer{announce: d.Announce, log: log, wake: make(chan struct{}, 1), waiting: map[sdk.TesseraID]bool{}}
}

// add notes a tessera of which a fragment has come. Only the first one is news: a pointer names the holder,
// not what it holds. A later one gives what could not be announced another chance.
func (a *announcer) add(t sdk.TesseraID, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first {
		a.waiting[t] = true
	}
	if len(a.waiting) == 0 {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run announces until ctx ends. What could not be announced waits for more company.
func (a *announcer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceAfter):
		}
		a.flush(ctx)
	}
}

func (a *announcer) flush(ctx context.Context) {
	a.mu.Lock()
	var due []sdk.TesseraID
	for t := range a.waiting {
		due = append(due, t)
	}
	clear(a.waiting)
	a.mu.Unlock()
	if len(due) == 0 {
		return
	}
	if _, err := a.announce(ctx, due); err != nil && ctx.Err() == nil {
		if !errors.Is(err, dht.ErrNobody) {
			a.log.Warn("announce", "tesseras", len(due), "err", err)
		}
		a.mu.Lock()
		for _, t := range due {
			a.waiting[t] = true
		}
		a.mu.Unlock()
	}
}
