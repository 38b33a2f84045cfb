package quicnet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/wire"
)

// bodyBuffer is how much of a body is read at a time before it is handed to QUIC.
const bodyBuffer = 128 << 10

// SendBody sends exactly size bytes of r and then closes our direction. When the peer answers before
// it has them all, sending stops: a refusal is returned at once, any other answer is left for Recv.
// An r that fails or ends early resets the stream, so that the peer cannot take a part for the whole.
func (s *Stream) SendBody(r io.Reader, size int64) error {
	s.raw = true
	if !s.opened {
		return s.sendBody(r, size)
	}
	w, err := s.watchForAnswer()
	if err != nil {
		return err
	}
	err = s.copyBody(r, size)
	w.sent.Store(true)
	if err == nil {
		return s.CloseWrite()
	}
	s.finished = true
	if answered, refusal := s.explained(w, err); answered {
		return refusal
	}
	s.reset(wire.Code_CANCELLED)
	return err
}

func (s *Stream) sendBody(r io.Reader, size int64) error {
	if err := s.copyBody(r, size); err != nil {
		return err
	}
	return s.CloseWrite()
}

// watch is shared by who sends a body and who listens for an early answer to it.
type watch struct {
	sent     atomic.Bool // the body is out: an answer is due now, and not early
	answered atomic.Bool
}

// watchForAnswer reads the answer while the body is sent, and stops the sending when it comes.
func (s *Stream) watchForAnswer() (*watch, error) {
	w := &watch{}
	early := make(chan answer, 1)
	s.str.SetReadDeadline(time.Time{}) // Recv sets one when the answer is due
	started := s.net.spawn(func() {
		m, err := wire.ReadFrame(s.str)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		w.answered.Store(err == nil)
		if err == nil && !w.sent.Load() {
			s.str.CancelWrite(quic.StreamErrorCode(wire.Code_CANCELLED))
		}
		early <- answer{m, err}
	})
	if !started {
		return nil, ErrClosed
	}
	s.early = early
	return w, nil
}

// explained tells whether sending failed because the peer had heard enough, and then what it said if
// that was a refusal. QUIC may deliver the request to stop before the answer that explains it, so the
// answer is waited for.
func (s *Stream) explained(w *watch, cause error) (answered bool, refusal error) {
	if !w.answered.Load() && wire.CodeOf(cause) == wire.Code_OK {
		return false, nil
	}
	s.str.SetReadDeadline(time.Now().Add(s.net.config.FrameTimeout))
	a := <-s.early
	s.early <- a
	if a.err != nil {
		return false, nil
	}
	if e, is := a.m.(*wire.Error); is {
		return true, s.explain("send body to", e.Refusal())
	}
	return true, nil
}

// copyBody moves size bytes from r to the peer, at no less than the floor.
func (s *Stream) copyBody(r io.Reader, size int64) error {
	pooled := s.net.buffers.Get().(*[]byte)
	defer s.net.buffers.Put(pooled)
	m := s.net.newMeter(s.str.SetWriteDeadline)
	if err := m.begin(); err != nil {
		return s.explain("send body to", err)
	}
	for size > 0 {
		n, err := r.Read((*pooled)[:min(size, bodyBuffer)])
		if werr := s.writeAll((*pooled)[:n], m); werr != nil {
			return s.explain("send body to", werr)
		}
		if size -= int64(n); err != nil && size > 0 {
			return fmt.Errorf("send body to %s: read: %w", s.conn.peer.Contact, short(err))
		}
	}
	return nil
}

func (s *Stream) writeAll(p []byte, m *meter) error {
	for len(p) > 0 {
		n, err := s.str.Write(p)
		p = p[n:]
		m.bytes += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = m.expired()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Body reads exactly size bytes that follow the last message. The end of the stream before them is
// io.ErrUnexpectedEOF, a peer below the byte-rate floor a *wire.Refusal with TOO_SLOW.
func (s *Stream) Body(size int64) io.Reader {
	return &body{s: s, left: size, meter: s.net.newMeter(s.str.SetReadDeadline)}
}

type body struct {
	s     *Stream
	left  int64
	meter *meter
	begun bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if !b.begun {
		b.begun = true
		if err := b.meter.begin(); err != nil {
			return 0, b.s.explain("receive body from", err)
		}
	}
	for {
		n, err := b.s.str.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		b.meter.bytes += n
		switch {
		case n > 0:
			return n, nil // an error comes again with the next Read
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = b.meter.expired()
		case err == nil && len(p) == 0:
			return 0, nil
		}
		if err != nil {
			return 0, b.s.explain("receive body from", short(err))
		}
	}
}

// short makes an end that comes too early one that nobody takes for a good one.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// meter holds a body to a floor of bytes per window, by the deadline of the stream it moves over. A
// window that ends while nobody was waiting for the network says nothing about the peer; of the
// others, two poor ones in a row are one too many.
type meter struct {
	window   time.Duration
	floor    int // bytes per window
	deadline func(time.Time) error

	end   time.Time
	bytes int // in this window
	poor  int // windows in a row below the floor
}

func (n *Net) newMeter(deadline func(time.Time) error) *meter {
	floor := int(float64(n.config.MinRate) * n.config.RateWindow.Seconds())
	return &meter{window: n.config.RateWindow, floor: floor, deadline: deadline}
}

func (m *meter) begin() error {
	m.bytes, m.end = 0, time.Now().Add(m.window)
	return m.deadline(m.end)
}

// expired closes a window and begins the next.
func (m *meter) expired() error {
	waiting := time.Since(m.end) < m.window/16
	switch {
	case m.bytes >= m.floor:
		m.poor = 0
	case waiting:
		m.poor++
	}
	if m.poor >= 2 {
		return wire.Refuse(wire.Code_TOO_SLOW, "fewer than %d bytes in %s", m.floor, m.window)
	}
	return m.begin()
}
