package quicnet

import (
	"context"
	"errors"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/wire"
)

// serveConn serves the requests that come over a connection, until it ends.
func (n *Net) serveConn(c *conn) {
	err := n.acceptStreams(c)
	last := n.pool.remove(c)
	n.windows.forget(c.q)
	c.q.CloseWithError(closeFaultless, "closing")
	if last && errors.Is(translate(err), ErrSilent) {
		n.tellLost(c.peer.Contact)
	}
}

func (n *Net) acceptStreams(c *conn) error {
	for {
		str, err := c.q.AcceptStream(n.ctx)
		if err != nil {
			return err
		}
		if !n.spawn(func() { n.serveStream(c, str) }) {
			return ErrClosed
		}
	}
}

// serveStream reads a request and serves it. Until the request is there whole the connection counts as
// idle: who never finishes a request does not keep its place in the pool by that.
func (n *Net) serveStream(c *conn, str *quic.Stream) {
	ctx, cancel := context.WithCancelCause(n.ctx)
	defer cancel(nil)
	defer context.AfterFunc(str.Context(), func() {
		if cause := context.Cause(str.Context()); !errors.Is(cause, quic.ErrStreamClosed) {
			cancel(translate(cause))
		}
	})()
	s := &Stream{net: n, conn: c, str: str, ctx: ctx}
	m, err := s.recv()
	if err == nil {
		err = n.serveRequest(ctx, s, m)
	} else {
		err = s.explain("receive", err)
	}
	if err == nil {
		s.finish()
		return
	}
	n.refused(err)
	n.log.Debug("request failed", "peer", c.peer.ID().Short(), "request", wire.KindOf(m), "err", err)
	s.refuse(refusalFor(err))
	n.blame(c, err)
}

// serveRequest serves a request, unless there are too many, of a source or an owner or in all.
func (n *Net) serveRequest(ctx context.Context, s *Stream, m wire.Message) error {
	from := s.conn.peer
	if err := n.denied(from.Contact.Key, from.Owner); err != nil {
		return err
	}
	now, at := time.Now(), from.Seen.Addr()
	if !n.requests.allow(at, cost(m), now) {
		return named(RefusedRate, wire.Refuse(wire.Code_BUSY, "too many requests from one address").Later(time.Second))
	}
	if !n.owners.allow(from.Owner, haste(at), cost(m), now) {
		return named(RefusedOwner, wire.Refuse(wire.Code_BUSY, "too many requests of one owner").Later(time.Second))
	}
	if !n.begin(s.conn) {
		return named(RefusedShare, wire.Refuse(wire.Code_BUSY, "too many requests at once").Later(time.Second))
	}
	defer n.serving.Done()
	defer n.pool.end(s.conn)
	return n.handle(ctx, s, m)
}

// cost is how many requests one counts for: a signature takes as long to verify as a small request takes
// in all.
func cost(m wire.Message) int {
	if q, is := m.(*wire.StorePointers); is {
		return 1 + len(q.GetPointers())/2
	}
	return 1
}

func (n *Net) begin(c *conn) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed || n.draining.Load() || !n.pool.begin(c, n.config.MaxRequests) {
		return false
	}
	n.serving.Add(1)
	return true
}

func (n *Net) handle(ctx context.Context, s *Stream, m wire.Message) error {
	return n.handler(wire.KindOf(m))(ctx, s.conn.peer, s, m)
}

// handler is who serves a kind of request, or nil.
func (n *Net) handler(k wire.Kind) Handler {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.handlers[k]
}

// serves refuses a kind that nobody serves: answers for one, which may be far larger than any request.
func (n *Net) serves(k wire.Kind) error {
	if n.handler(k) == nil {
		return wire.Refuse(wire.Code_UNSUPPORTED, "this node does not serve %s", k)
	}
	return nil
}

// finish ends an exchange that went well. What the peer might still send is not wanted.
func (s *Stream) finish() {
	if !s.finished {
		s.str.Close()
	}
	s.str.CancelRead(quic.StreamErrorCode(wire.Code_CANCELLED))
}

// refuse ends an exchange with a no: as an Error message, or, when body bytes were sent already, by
// resetting the stream. The answer goes out before the peer is asked to stop sending.
func (s *Stream) refuse(r *wire.Refusal) {
	code := quic.StreamErrorCode(r.Message().GetCode())
	if s.raw || s.finished || s.Send(r.Message()) != nil {
		s.str.CancelWrite(code)
	} else {
		s.str.Close()
	}
	s.str.CancelRead(code)
}
