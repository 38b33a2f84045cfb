package quicnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/internal/flood"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// TestIdlePeersCostLittle: 200 idle connections cost at most 60 MiB, both ends together.
func TestIdlePeersCostLittle(t *testing.T) {
	const peers, most = 200, 60 << 20
	n := node(t, quicnet.Config{HandshakeRate: 1000, SourceHandshakes: 1000})
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: pc}
	t.Cleanup(func() { errors.Join(tr.Close(), pc.Close()) })
	before := settled(t, n)
	for range peers {
		id := newIdentity(t)
		config := &tls.Config{Certificates: []tls.Certificate{certOf(t, id)}, NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true}
		conn, err := tr.Dial(deadline(t, 10*time.Second), net.UDPAddrFromAddrPort(n.Addr()), config, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.CloseWithError(0, "") })
		owner := id.Owner.Key()
		s := openStream(t, conn)
		if err := wire.WriteFrame(s, &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if _, err := wire.ReadFrame(s); err != nil {
			t.Fatal(err)
		}
	}
	for ctx := deadline(t, time.Minute); n.Stats().Size != peers; { // the last ones are still being taken in
		if ctx.Err() != nil {
			t.Fatalf("%d connections", n.Stats().Size)
		}
		time.Sleep(time.Millisecond)
	}
	used := int64(settled(t, n)) - int64(before)
	t.Logf("%d idle peers: %d KiB, both ends together", peers, used>>10)
	if used > most {
		t.Errorf("%d idle peers cost %d MiB", peers, used>>20)
	}
}

// TestRequestsHaveAPace: one source that asks too fast is told to come back later, and one that
// brings many signatures sooner than one that does not.
func TestRequestsHaveAPace(t *testing.T) {
	n := node(t, quicnet.Config{SourceRequests: 2}) // 9 at once, from loopback 144
	n.Handle(wire.KindStorePointers, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		return s.Send(&wire.StoreAck{})
	})
	a := node(t, quicnet.Config{})
	answered := 0
	for range 300 {
		_, err := a.Call(t.Context(), n.Self(), &wire.Ping{})
		if err == nil {
			answered++
			continue
		}
		var r *wire.Refusal
		if !errors.As(err, &r) || r.Code != wire.Code_BUSY || r.RetryAfter == 0 {
			t.Fatalf("got %v", err)
		}
	}
	if answered < 144 || answered > 250 {
		t.Errorf("%d of 300 answered at once, want about 144", answered)
	}
	ping(t, a, node(t, quicnet.Config{}).Self()) // nobody else minds
}

// TestNoAmplification: to an address that has not proven itself a node sends at most three times what
// came from it, whatever that was.
func TestNoAmplification(t *testing.T) {
	n := node(t, quicnet.Config{})
	deaf, err := flood.Listen()
	if err != nil {
		t.Fatal(err)
	}
	counted := &counting{PacketConn: deaf}
	tr := &quic.Transport{Conn: counted}
	t.Cleanup(func() { errors.Join(tr.Close(), counted.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	tr.Dial(ctx, net.UDPAddrFromAddrPort(n.Addr()), &tls.Config{NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true}, nil)
	answer := counted.drain(t)
	if counted.sent.Load() < 1200 || answer == 0 || answer > 3*counted.sent.Load() {
		t.Errorf("%d bytes for %d that came from an unproven address", answer, counted.sent.Load())
	}
	for _, junk := range [][]byte{{0}, make([]byte, 1200), append([]byte{0xc0, 0, 0, 0, 9, 8}, make([]byte, 1300)...), append([]byte{0x40}, make([]byte, 60)...)} {
		pc, err := net.Dial("udp", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		pc.Write(junk)
		pc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		back := make([]byte, 4096)
		if got, _ := pc.Read(back); got > 3*len(junk) {
			t.Errorf("%d bytes for %d of junk", got, len(junk))
		}
		pc.Close()
	}
}

// counting counts what goes out over a socket that does not listen.
type counting struct {
	net.PacketConn
	sent atomic.Int64
}

func (c *counting) WriteTo(b []byte, to net.Addr) (int, error) {
	c.sent.Add(int64(len(b)))
	return c.PacketConn.WriteTo(b, to)
}

// drain counts the bytes that have come.
func (c *counting) drain(t *testing.T) (n int64) {
	t.Helper()
	socket := c.PacketConn.(*flood.Deaf).PacketConn
	socket.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	b := make([]byte, 4096)
	for {
		got, _, err := socket.ReadFrom(b)
		if err != nil {
			return n
		}
		n += int64(got)
	}
}
