package quicnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// Stream carries one request and its answer. One goroutine at a time uses it; Cancel may come from any.
type Stream struct {
	net    *Net
	conn   *conn
	str    *quic.Stream
	ctx    context.Context // of the request; its end cancels the stream
	opened bool            // by us: we ask, the peer answers

	finished bool // our side said all it had to say
	raw      bool // body bytes were sent: what follows cannot be a frame
	early    chan answer
	once     sync.Once
	stop     func() bool
}

// answer is a frame that came while our body was still being sent.
type answer struct {
	m   wire.Message
	err error
}

// Open begins a request: the caller sends it, reads the answer, and closes the stream. When ctx ends
// both sides of the stream are reset, so that the peer stops too. A peer that lets no stream be opened is
// ErrSilent after AnswerTimeout.
func (n *Net) Open(ctx context.Context, to identity.Contact) (*Stream, error) {
	s, err := n.openOnce(ctx, to)
	if errors.Is(err, ErrGone) { // nothing was asked yet
		s, err = n.openOnce(ctx, to)
	}
	return s, err
}

func (n *Net) openOnce(ctx context.Context, to identity.Contact) (*Stream, error) {
	c, err := n.connect(ctx, to)
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeoutCause(ctx, n.config.AnswerTimeout, ErrSilent)
	defer cancel()
	str, err := c.q.OpenStreamSync(opening)
	if err != nil {
		n.pool.release(c)
		if opening.Err() == nil {
			n.pool.abandon(c)
		}
		return nil, fmt.Errorf("open stream to %s: %w", c.peer.Contact, explainIn(opening, err))
	}
	s := &Stream{net: n, conn: c, str: str, ctx: ctx, opened: true}
	s.stop = context.AfterFunc(ctx, s.Cancel)
	return s, nil
}

// Peer is who is on the other end.
func (s *Stream) Peer() Peer { return s.conn.peer }

// RoundTrip is the time a packet takes to the peer and back, as measured; 0 = unknown.
func (s *Stream) RoundTrip() time.Duration { return s.conn.q.ConnectionStats().SmoothedRTT }

// Send sends one message. Where the peer refuses a request before it has it all, the refusal is
// returned.
func (s *Stream) Send(m wire.Message) error {
	if err := s.str.SetWriteDeadline(time.Now().Add(s.net.config.FrameTimeout)); err != nil {
		return err
	}
	if err := wire.WriteFrame(s.str, m); err != nil {
		return s.refusalBehind(s.explain("send", err))
	}
	return nil
}

// refusalBehind looks for the answer of a peer that stopped us before it had the whole request: QUIC
// may deliver the stop before the words that explain it.
func (s *Stream) refusalBehind(err error) error {
	if !s.opened || wire.CodeOf(err) == wire.Code_OK {
		return err
	}
	if _, answer := s.Recv(); wire.CodeOf(answer) != wire.Code_OK {
		return answer
	}
	return err
}

// Recv reads one message. A refusal by the peer is a *wire.Refusal; the end of the stream is
// io.ErrUnexpectedEOF.
func (s *Stream) Recv() (wire.Message, error) {
	m, err := s.recv()
	if err != nil {
		s.net.blame(s.conn, err)
		return nil, s.explain("receive", err)
	}
	if e, is := m.(*wire.Error); is {
		return nil, e.Refusal()
	}
	return m, nil
}

func (s *Stream) recv() (wire.Message, error) {
	patience, may := s.net.config.FrameTimeout, s.net.serves
	if s.opened {
		patience, may = s.net.config.AnswerTimeout, anything
	}
	if err := s.str.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if s.early != nil {
		a := <-s.early
		s.early <- answer{nil, io.ErrUnexpectedEOF} // a body has one answer
		return a.m, a.err
	}
	m, err := wire.ReadFrameIf(s.str, may)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

func anything(wire.Kind) error { return nil }

// CloseWrite says that nothing more will be sent. A peer that wants no more anyway is no error: its
// answer tells.
func (s *Stream) CloseWrite() error {
	s.finished = true
	if err := s.str.Close(); err != nil && s.ctx.Err() != nil {
		return s.explain("close", err)
	}
	return nil
}

// Cancel resets both directions: the peer stops, and what is blocked here returns.
func (s *Stream) Cancel() { s.reset(wire.Code_CANCELLED) }

func (s *Stream) reset(code wire.Code) {
	s.str.CancelRead(quic.StreamErrorCode(code))
	s.str.CancelWrite(quic.StreamErrorCode(code))
}

// Close ends the use of a stream that Open gave. An exchange that is not complete is cancelled.
func (s *Stream) Close() {
	s.once.Do(func() {
		s.stop()
		s.str.CancelRead(quic.StreamErrorCode(wire.Code_CANCELLED))
		if !s.finished {
			s.str.CancelWrite(quic.StreamErrorCode(wire.Code_CANCELLED))
		}
		if s.early != nil {
			<-s.early // the watcher ends by the line above at the latest
		}
		s.net.pool.release(s.conn)
	})
}

// explain gives an error the peer's name and this package's words.
func (s *Stream) explain(what string, err error) error {
	return fmt.Errorf("%s %s: %w", what, s.conn.peer.Contact, explainIn(s.ctx, err))
}
