package dht

import (
	"context"
	"errors"
	"time"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// do gives the core an input, and then does what it asks for.
func (d *DHT) do(input func(now time.Time)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doLocked(input)
}

func (d *DHT) doLocked(input func(now time.Time)) {
	input(d.config.Now())
	for _, id := range d.core.Dropped() {
		if cancel := d.calls[id]; cancel != nil {
			cancel()
			delete(d.calls, id)
		}
	}
	for out := d.core.Outbox(); len(out) > 0; out = d.core.Outbox() {
		for _, send := range out {
			d.sendLocked(send)
		}
	}
	d.setTimerLocked()
}

// sendLocked asks a question, unless the DHT is closed: then it fails at once.
func (d *DHT) sendLocked(send core.Send) {
	if d.ctx.Err() != nil {
		d.core.Failed(d.config.Now(), send.Query, core.Void)
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.config.QueryTimeout)
	d.calls[send.Query] = cancel
	d.tasks.Go(func() {
		defer cancel()
		answer, err := d.call(ctx, send)
		d.do(func(now time.Time) { d.settleLocked(now, send, answer, err) })
	})
}

// settleLocked tells the core what came of a question, if it still waits for it. A refusal is a sign of
// life.
func (d *DHT) settleLocked(now time.Time, send core.Send, answer core.Answer, err error) {
	delete(d.calls, send.Query)
	d.cause = err
	switch {
	case err == nil:
		d.core.Answered(now, send.Query, answer)
	case d.ctx.Err() != nil, errors.Is(err, quicnet.ErrFull), errors.Is(err, quicnet.ErrClosed): // it was not asked
		d.core.Failed(now, send.Query, core.Void)
	case wire.CodeOf(err) != wire.Code_OK, errors.Is(err, errOffTopic):
		d.core.Failed(now, send.Query, core.Refusal)
	default:
		d.config.Log.Debug("no answer", "peer", send.To.Contact, "err", err)
		d.core.Failed(now, send.Query, core.Silence)
	}
	d.cause = nil
}

func (d *DHT) setTimerLocked() {
	next, any := d.core.Next()
	if !any || d.ctx.Err() != nil {
		return
	}
	wait := max(next.Sub(d.config.Now()), time.Millisecond)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.tick)
		return
	}
	d.timer.Reset(wait)
}

func (d *DHT) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() == nil {
		d.doLocked(d.core.Tick)
	}
}

// wait runs a task of the core and returns when it has called done. When ctx ends first the task is
// stopped, which makes it call done with what there is.
func (d *DHT) wait(ctx context.Context, begin func(now time.Time, done func()) *core.Task) error {
	over := make(chan struct{})
	var task *core.Task
	d.do(func(now time.Time) {
		task = begin(now, func() { close(over) })
	})
	select {
	case <-over:
	case <-ctx.Done():
		d.do(func(now time.Time) { d.core.Stop(now, task) })
		<-over
	}
	return ctx.Err()
}

// errOffTopic is an answer to another question.
var errOffTopic = errors.New("answer to another question")

// call asks a peer and checks all of its answer that can be checked without asking anybody.
func (d *DHT) call(ctx context.Context, send core.Send) (core.Answer, error) {
	m, err := d.net.Call(ctx, send.To.Contact, request(send.Question))
	if err != nil {
		return core.Answer{}, err
	}
	switch m := m.(type) {
	case *wire.Pong:
		if send.Kind == core.Ping {
			return core.Answer{FreeBytes: m.GetFreeBytes()}, nil
		}
	case *wire.Nodes:
		if send.Kind == core.FindNode {
			return core.Answer{Nodes: d.plausible(m.GetNodes())}, nil
		}
	case *wire.Pointers:
		if send.Kind == core.FindPointers {
			return core.Answer{Nodes: d.plausible(m.GetCloser()), Pointers: d.verified(m.GetPointers(), send.Target)}, nil
		}
	case *wire.StoreAck:
		if send.Kind == core.StorePointers {
			return core.Answer{Stored: int(m.GetStored())}, nil
		}
	}
	return core.Answer{}, errOffTopic
}

func request(q core.Question) wire.Message {
	switch q.Kind {
	case core.FindNode:
		return &wire.FindNode{Target: q.Target[:]}
	case core.FindPointers:
		return &wire.FindPointers{Tessera: q.Target[:]}
	case core.StorePointers:
		m := &wire.StorePointers{}
		for _, p := range q.Pointers {
			m.Pointers = append(m.Pointers, p.Message())
		}
		return m
	}
	return &wire.Ping{}
}

// plausible keeps the contacts that somebody may believe: well-formed, with their proof of work.
func (d *DHT) plausible(in []*wire.Contact) []core.Node {
	out := make([]core.Node, 0, len(in))
	for _, m := range in {
		c, err := m.Parse()
		n := core.Place(c)
		if err != nil || !identity.CheckWork(n.At, d.config.PowBits) {
			d.config.Refused(RefusedContact)
			continue
		}
		out = append(out, n)
	}
	return out
}

// verified keeps the pointers to a target that hold; the zero target takes those to any.
func (d *DHT) verified(in []*wire.SignedPointer, target ID) []wire.Pointer {
	out := make([]wire.Pointer, 0, len(in))
	for _, m := range in {
		p, err := d.signed.verify(m, d.config.PowBits, d.config.Now())
		if err != nil || target != (ID{}) && ID(p.Tessera) != target {
			d.config.Refused(RefusedPointer)
			d.config.Log.Debug("pointer dropped", "err", err)
			continue
		}
		out = append(out, p)
	}
	return out
}
