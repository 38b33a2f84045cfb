package scatter

import (
	"context"
	"sync"

	"github.com/tesseras/tesseras/sdk"
)

// Turns lets one piece of work at a time change where the fragments of a tessera are, so that a
// publish and a repair do not both push the same shard.
type Turns struct {
	mu   sync.Mutex // guards below
	busy map[sdk.TesseraID]chan struct{}
}

// NewTurns returns a Turns in which nobody has a turn.
func NewTurns() *Turns { return &Turns{busy: map[sdk.TesseraID]chan struct{}{}} }

// Take waits for the turn at a tessera; give it back with done.
func (t *Turns) Take(ctx context.Context, id sdk.TesseraID) (done func(), err error) {
	for {
		done, wait := t.try(id)
		if done != nil {
			return done, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait:
		}
	}
}

// Try takes the turn at a tessera if nobody has it; done is nil when somebody does.
func (t *Turns) Try(id sdk.TesseraID) (done func()) {
	done, _ = t.try(id)
	return done
}

// Taken tells whether somebody has the turn at a tessera.
func (t *Turns) Taken(id sdk.TesseraID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, taken := t.busy[id]
	return taken
}

func (t *Turns) try(id sdk.TesseraID) (done func(), wait <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if taken, ok := t.busy[id]; ok {
		return nil, taken
	}
	mine := make(chan struct{})
	t.busy[id] = mine
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, id)
		close(mine)
	}, nil
}
