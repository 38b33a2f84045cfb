package quicnet_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// deaf is a socket that never hears anything: handshakes begun over it stay half open.
type deaf struct {
	net.PacketConn
	closed chan struct{}
	once   sync.Once
}

func newDeaf(t *testing.T) *deaf {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return &deaf{PacketConn: pc, closed: make(chan struct{})}
}

func (d *deaf) ReadFrom([]byte) (int, net.Addr, error) {
	<-d.closed
	return 0, nil, net.ErrClosed
}

func (d *deaf) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) { // quic-go wakes its reader so before it closes
		d.once.Do(func() { close(d.closed) })
	}
	return nil
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.PacketConn.Close()
}

// crowd is everything a hostile machine does at once, until stop is called.
type crowd struct {
	t     *testing.T
	to    *quicnet.Net
	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup
	sent  [4]atomic.Int64 // half-open handshakes, slow streams, junk datagrams, requests
}

// member is a connection that has said Hello.
func (c *crowd) member() (*quic.Conn, error) {
	id, err := identity.Generate(powBits)
	if err != nil {
		return nil, err
	}
	conn, err := stranger(c.t, c.to, []tls.Certificate{certOf(c.t, id)}, wire.ALPN)
	if err != nil {
		return nil, err
	}
	s, err := conn.OpenStreamSync(c.ctx)
	if err != nil {
		return nil, err
	}
	owner := id.Owner.Key()
	if err := wire.WriteFrame(s, &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}}); err != nil {
		return nil, err
	}
	s.Close()
	_, err = wire.ReadFrame(s)
	return conn, err
}

// halfOpen begins handshakes and never goes on.
func (c *crowd) halfOpen() {
	for c.ctx.Err() == nil {
		socket := newDeaf(c.t)
		tr := &quic.Transport{Conn: socket}
		var dials sync.WaitGroup
		for range 20 {
			dials.Go(func() {
				ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
				defer cancel()
				c.sent[0].Add(1)
				tr.Dial(ctx, net.UDPAddrFromAddrPort(c.to.Addr()), &tls.Config{NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true}, nil)
			})
		}
		dials.Wait()
		tr.Close()
		socket.Close()
	}
}

// slowloris opens streams on which a request never ends.
func (c *crowd) slowloris(streams int) {
	for left := streams; left > 0 && c.ctx.Err() == nil; left -= 25 {
		conn, err := c.member()
		if err != nil {
			continue
		}
		for range min(left, 25) {
			s, err := conn.OpenStreamSync(c.ctx)
			if err != nil {
				break
			}
			c.sent[1].Add(1)
			c.tasks.Go(func() {
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
			})
		}
	}
}

// junk sends datagrams that mean nothing, or nearly something.
func (c *crowd) junk() {
	conn, err := net.Dial("udp", c.to.Addr().String())
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	for c.ctx.Err() == nil {
		b := make([]byte, 1200)
		rand.Read(b)
		b[0] |= 0xc0 // a long header
		copy(b[1:], []byte{0, 0, 0, 1})
		for i := range 20 {
			b[6] = byte(i)
			conn.Write(b[:1200-40*i])
			c.sent[2].Add(1)
		}
		time.Sleep(time.Millisecond)
	}
}

// requests asks as fast as it can.
func (c *crowd) requests() {
	conn, err := c.member()
	for err != nil && c.ctx.Err() == nil {
		conn, err = c.member()
	}
	for c.ctx.Err() == nil {
		s, err := conn.OpenStreamSync(c.ctx)
		if err != nil {
			return
		}
		wire.WriteFrame(s, &wire.FindNode{Target: make([]byte, 32)})
		s.Close()
		wire.ReadFrame(s)
		c.sent[3].Add(1)
	}
}

func unleash(t *testing.T, to *quicnet.Net) *crowd {
	c := &crowd{t: t, to: to}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.tasks.Go(func() { c.slowloris(500) })
	for range 2 {
		c.tasks.Go(c.halfOpen)
		c.tasks.Go(c.requests)
	}
	c.tasks.Go(c.junk)
	return c
}

// TestHonestPeersUnderFlood (G22): while a hostile machine floods a node with half-open handshakes, 500
// streams that never end, junk and requests, honest peers put and get; then the memory comes back.
func TestHonestPeersUnderFlood(t *testing.T) {
	n := node(t, quicnet.Config{
		FrameTimeout: 3 * time.Second, SilentTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, ReaperInterval: time.Second,
		HandshakeRate: 20, SourceHandshakes: 4, SourceRequests: 200,
	})
	n.Handle(wire.KindFindNode, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.Nodes{})
	})
	body := bytes.Repeat([]byte("tessera."), 32<<10)
	n.Handle(wire.KindReplicate, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, m wire.Message) error {
		got, err := io.ReadAll(s.Body(int64(m.(*wire.Replicate).GetSize())))
		if err != nil || !bytes.Equal(got, body) {
			return errors.Join(err, errors.New("not what was sent"))
		}
		return s.Send(&wire.Pong{})
	})
	n.Handle(wire.KindFetchFragment, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		if err := s.Send(&wire.FragmentHeader{Size: uint64(len(body))}); err != nil {
			return err
		}
		return s.SendBody(bytes.NewReader(body), int64(len(body)))
	})
	honest := []*quicnet.Net{node(t, quicnet.Config{}), node(t, quicnet.Config{}), node(t, quicnet.Config{})}
	base := settled(t, n)
	c := unleash(t, n)
	waitUntil(t, func() bool {
		return c.sent[0].Load() > 40 && c.sent[1].Load() >= 500 && c.sent[2].Load() > 500 && c.sent[3].Load() > 50
	})
	peak, good, tried := uint64(0), 0, 0
	for round := range 40 {
		for _, h := range honest {
			if round%10 == 9 { // and one that comes anew
				h = node(t, quicnet.Config{})
			}
			for _, exchange := range []func() error{func() error { return put(h, n, body) }, func() error { return get(h, n, body) }} {
				tried++
				if err := exchange(); err != nil {
					t.Logf("round %d: %v", round, err)
					continue
				}
				good++
			}
		}
		peak = max(peak, heap())
	}
	c.stop()
	c.tasks.Wait()
	t.Logf("%d of %d exchanges; against %d half-open handshakes, %d slow streams, %d junk datagrams, %d requests; heap %d -> %d KiB at most; gate %+v",
		good, tried, c.sent[0].Load(), c.sent[1].Load(), c.sent[2].Load(), c.sent[3].Load(), base>>10, peak>>10, n.Gate())
	if tried < 240 || good*100 < tried*99 {
		t.Errorf("%d of %d honest exchanges", good, tried)
	}
	if peak > 256<<20 {
		t.Errorf("%d MiB of heap under flood", peak>>20)
	}
	waitUntil(t, func() bool { return n.Gate().HalfOpen == 0 && n.Stats().Active == 0 })
	if after := settled(t, n); after > base+32<<20 {
		t.Errorf("%d MiB of heap afterwards, %d before", after>>20, base>>20)
	}
}

func put(from, to *quicnet.Net, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to.Self())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&wire.Replicate{Plan: []byte("plan"), Size: uint64(len(body))}); err != nil {
		return err
	}
	if err := s.SendBody(bytes.NewReader(body), int64(len(body))); err != nil {
		return err
	}
	_, err = s.Recv()
	return err
}

func get(from, to *quicnet.Net, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to.Self())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(&wire.FetchFragment{Tessera: make([]byte, 32), Checksum: make([]byte, 32)}); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	got, err := io.ReadAll(s.Body(int64(len(body))))
	if err == nil && !bytes.Equal(got, body) {
		err = errors.New("not what is held")
	}
	return err
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settled is the heap that is in use once the collector had its turn.
func settled(t *testing.T, _ *quicnet.Net) uint64 {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	return heap()
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
