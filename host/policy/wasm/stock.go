package wasm

import (
	"context"
	"sync"
)

// When an instance that admissions share has done enough.
const (
	mostQuestions = 10_000
	mostMemory    = 16 << 20 // bytes of linear memory
)

// stock keeps instances ready: one that never answered anything, and a few that admissions share. It
// also bounds how many answer at once.
type stock struct {
	create func(context.Context) (*instance, error)
	slots  chan struct{} // one for each question at once

	background context.Context // of instances made in advance; ends with close
	stop       context.CancelFunc
	makers     sync.WaitGroup

	mu     sync.Mutex // guards below
	fresh  *instance
	shared []*instance
	making bool
	closed bool
}

// lease is an instance that somebody uses, and its slot.
type lease struct {
	*instance
	shared bool
	unbind func() bool // lets go of the stock's end
}

func newStock(create func(context.Context) (*instance, error), limits Limits) *stock {
	s := &stock{create: create, slots: make(chan struct{}, limits.Concurrent)}
	s.background, s.stop = context.WithCancel(context.Background())
	return s
}

// begin puts the first instance in, which has shown that there can be any.
func (s *stock) begin(first *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh = first
}

// lease waits for a slot and takes an instance: for admissions one that others used before them, if
// there is one, else a fresh one. Give it back. cancel ends the question's context; it is called when
// the stock closes.
func (s *stock) lease(ctx context.Context, cancel func(), shared bool) (*lease, error) {
	select {
	case s.slots <- struct{}{}:
	case <-s.background.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	unbind := context.AfterFunc(s.background, cancel)
	i, err := s.take(ctx, shared)
	if err != nil {
		unbind()
		<-s.slots
		return nil, err
	}
	return &lease{i, shared, unbind}, nil
}

func (s *stock) take(ctx context.Context, shared bool) (*instance, error) {
	s.mu.Lock()
	i, closed := (*instance)(nil), s.closed
	switch n := len(s.shared); {
	case closed:
	case shared && n > 0:
		i, s.shared = s.shared[n-1], s.shared[:n-1]
	case s.fresh != nil:
		i, s.fresh = s.fresh, nil
	}
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if i != nil {
		return i, nil
	}
	return s.create(ctx)
}

// giveBack ends a lease: an instance that admissions share is kept, unless it failed, grew or worked
// for long; any other is closed. A fresh one is made for the next question.
func (s *stock) giveBack(l *lease, failure error) {
	l.unbind()
	keep := l.shared && failure == nil && l.questions < mostQuestions && l.memory() <= mostMemory
	s.mu.Lock()
	keep = keep && !s.closed
	if keep {
		s.shared = append(s.shared, l.instance)
	}
	refill := s.fresh == nil && !s.making && !s.closed
	if refill {
		s.making = true
		s.makers.Go(s.refill)
	}
	s.mu.Unlock()
	if !keep {
		l.close()
	}
	<-s.slots
}

// refill makes the fresh instance of the next question. One that cannot be made is no loss: the
// question will try, and tell.
func (s *stock) refill() {
	i, err := s.create(s.background)
	s.mu.Lock()
	s.making = false
	keep := err == nil && !s.closed && s.fresh == nil
	if keep {
		s.fresh = i
	}
	s.mu.Unlock()
	if err == nil && !keep {
		i.close()
	}
}

// close ends the questions under way and closes every instance. The code that they run may be
// unmapped after it, so it waits until nobody does.
func (s *stock) close() {
	s.mu.Lock()
	s.closed = true
	idle := s.shared
	if s.fresh != nil {
		idle = append(idle, s.fresh)
	}
	s.fresh, s.shared = nil, nil
	s.mu.Unlock()
	s.stop()
	s.makers.Wait()
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	for _, i := range idle {
		i.close()
	}
}
