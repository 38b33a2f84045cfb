// Package flood answers: what can one hostile machine do to the front door of a node, all at once?
//
// It speaks the real protocol as far as that serves it, from loopback: handshakes that stay half open,
// streams on which a request never ends, junk, and requests as fast as they are answered (G22).
package flood

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// Slow is how many streams are held on which a request never ends.
const Slow = 500

// slowPerMember is how many of them one identity holds.
const slowPerMember = 25

// Target is who is flooded.
type Target struct {
	Addr    netip.AddrPort
	PowBits int // that it demands
	// Requests make what it is asked, each by two members as fast as it answers.
	Requests []func() wire.Message
}

// Sent counts what a target was sent.
type Sent struct {
	HalfOpen, Slow, Junk int64   // handshakes, streams, datagrams
	Asked, Answered      []int64 // of each request of the target; what is refused is not answered
}

// Crowd is everything a hostile machine does at once, until End.
type Crowd struct {
	t      testing.TB
	to     Target
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	halfOpen, slow, junk atomic.Int64
	asked, answered      []atomic.Int64
}

// Begin unleashes a crowd.
func Begin(t testing.TB, to Target) *Crowd {
	n := len(to.Requests)
	c := &Crowd{t: t, to: to, asked: make([]atomic.Int64, n), answered: make([]atomic.Int64, n)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.tasks.Go(func() { c.holdSlow(Slow) })
	for range 2 {
		c.tasks.Go(c.leaveHalfOpen)
		for i := range to.Requests {
			c.tasks.Go(func() { c.ask(i) })
		}
	}
	c.tasks.Go(c.sendJunk)
	return c
}

// End lets go of the target and waits until nothing of the crowd is left.
func (c *Crowd) End() {
	c.cancel()
	c.tasks.Wait()
}

// Sent counts what was sent so far.
func (c *Crowd) Sent() Sent {
	s := Sent{HalfOpen: c.halfOpen.Load(), Slow: c.slow.Load(), Junk: c.junk.Load()}
	for i := range c.asked {
		s.Asked = append(s.Asked, c.asked[i].Load())
		s.Answered = append(s.Answered, c.answered[i].Load())
	}
	return s
}

// UnderWay tells whether a target has met all of the crowd.
func (c *Crowd) UnderWay() bool {
	s := c.Sent()
	for _, n := range s.Asked {
		if n <= 50 {
			return false
		}
	}
	return s.HalfOpen > 40 && s.Slow >= Slow && s.Junk > 500
}

// member is a connection that has said Hello.
func (c *Crowd) member() (*quic.Conn, error) {
	id, err := identity.Generate(c.to.PowBits)
	if err != nil {
		return nil, err
	}
	cert, err := id.Node.Certificate(time.Now())
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	owner := id.Owner.Key()
	_, err = c.exchange(conn, &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}})
	return conn, err
}

// dial makes a connection from a socket of its own; both end with the crowd.
func (c *Crowd) dial(config *tls.Config) (*quic.Conn, error) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	tr := &quic.Transport{Conn: socket}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	conn, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(c.to.Addr), config, nil)
	if err != nil {
		return nil, errors.Join(err, tr.Close(), socket.Close())
	}
	c.tasks.Go(func() {
		<-c.ctx.Done()
		_ = conn.CloseWithError(0, "") // the target need not hear of it
		_ = errors.Join(tr.Close(), socket.Close())
	})
	return conn, nil
}

// exchange asks one thing on a stream of its own.
func (c *Crowd) exchange(conn *quic.Conn, q wire.Message) (wire.Message, error) {
	s, err := conn.OpenStreamSync(c.ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(wire.WriteFrame(s, q), s.Close()); err != nil {
		return nil, err
	}
	return wire.ReadFrame(s)
}

// leaveHalfOpen begins handshakes and never goes on.
func (c *Crowd) leaveHalfOpen() {
	for c.ctx.Err() == nil {
		socket, err := Listen()
		if err != nil {
			c.t.Error(err)
			return
		}
		tr := &quic.Transport{Conn: socket}
		var dials sync.WaitGroup
		for range 20 {
			dials.Go(func() {
				ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
				defer cancel()
				c.halfOpen.Add(1)
				_, _ = tr.Dial(ctx, net.UDPAddrFromAddrPort(c.to.Addr), &tls.Config{NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true}, nil)
			})
		}
		dials.Wait()
		_ = errors.Join(tr.Close(), socket.Close())
	}
}

// holdSlow opens streams on which a request never ends.
func (c *Crowd) holdSlow(streams int) {
	for left := streams; left > 0 && c.ctx.Err() == nil; {
		conn, err := c.member()
		if err != nil {
			continue
		}
		for range min(left, slowPerMember) {
			s, err := conn.OpenStreamSync(c.ctx)
			if err != nil {
				break
			}
			left--
			c.slow.Add(1)
			c.tasks.Go(func() { c.drip(s) })
		}
	}
}

// drip sends a request byte by byte.
func (c *Crowd) drip(s *quic.Stream) {
	frame := append([]byte{byte(wire.KindReplicate), 0, 1, 0, 0}, bytes.Repeat([]byte{10}, 1000)...)
	for _, b := range frame {
		if _, err := s.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// sendJunk sends datagrams that mean nothing, or nearly something.
func (c *Crowd) sendJunk() {
	conn, err := net.Dial("udp", c.to.Addr.String())
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	for c.ctx.Err() == nil {
		b := make([]byte, 1200)
		_, _ = rand.Read(b)
		b[0] |= 0xc0 // a long header
		copy(b[1:], []byte{0, 0, 0, 1})
		for i := range 20 {
			b[6] = byte(i)
			_, _ = conn.Write(b[:1200-40*i])
			c.junk.Add(1)
		}
		time.Sleep(time.Millisecond)
	}
}

// ask asks one of the target's requests as fast as it is answered, as somebody new when it is thrown out.
func (c *Crowd) ask(request int) {
	for c.ctx.Err() == nil {
		conn, err := c.member()
		for err == nil {
			var m wire.Message
			m, err = c.exchange(conn, c.to.Requests[request]())
			c.asked[request].Add(1)
			if err == nil && wire.KindOf(m) != wire.KindError {
				c.answered[request].Add(1)
			}
		}
	}
}
