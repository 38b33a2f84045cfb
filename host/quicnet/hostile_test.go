package quicnet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// stranger is a bare QUIC client that need not keep to any rule.
func stranger(t *testing.T, to *quicnet.Net, certs []tls.Certificate, alpn string) (*quic.Conn, error) {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: pc}
	t.Cleanup(func() { errors.Join(tr.Close(), pc.Close()) })
	config := &tls.Config{Certificates: certs, NextProtos: []string{alpn}, InsecureSkipVerify: true}
	conn, err := tr.Dial(deadline(t, 5*time.Second), net.UDPAddrFromAddrPort(to.Addr()), config, nil)
	if err == nil {
		t.Cleanup(func() { conn.CloseWithError(0, "") })
	}
	return conn, err
}

func certOf(t *testing.T, id *identity.Identity) tls.Certificate {
	t.Helper()
	c, err := id.Node.Certificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// member is a stranger with an identity, who has said Hello unless hello is nil.
func member(t *testing.T, to *quicnet.Net, hello func(*wire.Hello)) *quic.Conn {
	t.Helper()
	id := newIdentity(t)
	conn, err := stranger(t, to, []tls.Certificate{certOf(t, id)}, wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	if hello == nil {
		return conn
	}
	owner := id.Owner.Key()
	h := &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}}
	hello(h)
	s := openStream(t, conn)
	if err := wire.WriteFrame(s, h); err != nil {
		t.Fatal(err)
	}
	s.Close()
	wire.ReadFrame(s)
	return conn
}

func openStream(t *testing.T, c *quic.Conn) *quic.Stream {
	t.Helper()
	s, err := c.OpenStreamSync(deadline(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closedWith waits for the connection to be closed by the other side, and tells the code.
func closedWith(t *testing.T, c *quic.Conn) wire.Code {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection stays open")
	}
	return sentAwayWith(context.Cause(c.Context()))
}

// TestStrangersAtTheDoor: who does not prove a key with its work is not let in at all.
func TestStrangersAtTheDoor(t *testing.T) {
	n := node(t, quicnet.Config{PowBits: 12})
	worker := func(bits int) tls.Certificate {
		id, err := identity.Generate(bits)
		if err != nil {
			t.Fatal(err)
		}
		return certOf(t, id)
	}
	lazy := worker(0)
	for len(lazy.Certificate) == 1 { // one that is not lucky
		leaf, err := x509.ParseCertificate(lazy.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := identity.VerifyCertificate(leaf, 12); err != nil {
			break
		}
		lazy = worker(0)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	good := worker(12)
	chain := good
	chain.Certificate = append(chain.Certificate, lazy.Certificate[0])
	for name, c := range map[string]struct {
		certs []tls.Certificate
		alpn  string
	}{
		"no certificate":    {nil, wire.ALPN},
		"no work":           {[]tls.Certificate{lazy}, wire.ALPN},
		"no Ed25519 key":    {[]tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, wire.ALPN},
		"two certificates":  {[]tls.Certificate{chain}, wire.ALPN},
		"another ALPN":      {[]tls.Certificate{good}, "h3"},
		"a newer tesseras":  {[]tls.Certificate{good}, "tesseras/2"},
		"somebody's copied": {[]tls.Certificate{{Certificate: good.Certificate, PrivateKey: lazy.PrivateKey}}, wire.ALPN},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := stranger(t, n, c.certs, c.alpn)
			if err != nil {
				return
			}
			if code := closedWith(t, conn); code != -1 {
				t.Errorf("closed after the handshake, with %s", code)
			}
		})
	}
	if _, err := stranger(t, n, []tls.Certificate{good}, wire.ALPN); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if s := n.Stats(); s.Size != 0 {
		t.Errorf("%d connections for nobody who said Hello", s.Size)
	}
}

// TestBadHellos: each is told why and let go, and does not take a place in the pool.
func TestBadHellos(t *testing.T) {
	n := node(t, quicnet.Config{FrameTimeout: 300 * time.Millisecond})
	first := func(b []byte) func(t *testing.T) *quic.Conn {
		return func(t *testing.T) *quic.Conn {
			c := member(t, n, nil)
			openStream(t, c).Write(b)
			return c
		}
	}
	said := func(change func(*wire.Hello)) func(t *testing.T) *quic.Conn {
		return func(t *testing.T) *quic.Conn { return member(t, n, change) }
	}
	tooLong := []byte{byte(wire.KindHello), 0xff, 0xff, 0xff, 0xff}
	ping, err := wire.AppendFrame(nil, &wire.Ping{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		connect func(t *testing.T) *quic.Conn
		want    wire.Code
	}{
		"garbage":                {first([]byte("GET / HTTP/1.1\r\n\r\n")), wire.Code_UNSUPPORTED},
		"garbage in a Hello":     {first([]byte{byte(wire.KindHello), 0, 0, 0, 3, 1, 2, 3}), wire.Code_MALFORMED},
		"a length bomb":          {first(tooLong), wire.Code_TOO_LARGE},
		"Ping before Hello":      {first(ping), wire.Code_MALFORMED},
		"a large one, announced": {first(announced(wire.KindAttestResponse)), wire.Code_MALFORMED},
		"half a Hello":           {first([]byte{byte(wire.KindHello), 0, 0}), wire.Code_TOO_SLOW},
		"silence":                {said(nil), wire.Code_TOO_SLOW},
		"a forged delegation":    {said(func(h *wire.Hello) { h.Delegation[3] ^= 1 }), wire.Code_BAD_SIGNATURE},
		"somebody else's owner":  {said(func(h *wire.Hello) { h.Owner[3] ^= 1 }), wire.Code_BAD_SIGNATURE},
		"a version nobody knows": {said(func(h *wire.Hello) { h.Versions = []uint32{99} }), wire.Code_UNSUPPORTED},
		"an impossible address":  {said(func(h *wire.Hello) { h.Listen = &wire.Address{Ip: make([]byte, 7)} }), wire.Code_MALFORMED},
	} {
		t.Run(name, func(t *testing.T) {
			if code := closedWith(t, c.connect(t)); code != c.want {
				t.Errorf("closed with %s, want %s", code, c.want)
			}
		})
	}
	if s := n.Stats(); s.Size != 0 {
		t.Errorf("%d connections for nobody who said Hello well", s.Size)
	}
	newer := member(t, n, func(h *wire.Hello) { h.Versions, h.Capabilities = []uint32{9, 1}, 1<<63 })
	waitUntil(t, func() bool { return n.Stats().Size == 1 }) // it is let in just after it is answered
	if newer.Context().Err() != nil {
		t.Error("a newer peer that speaks our version too is refused")
	}
}

// announced is the header of the largest message of a kind.
func announced(k wire.Kind) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(k.Ceiling()))
}

// TestBadRequests: each stream is answered with a code, and the connection goes on.
func TestBadRequests(t *testing.T) {
	n := node(t, quicnet.Config{FrameTimeout: 300 * time.Millisecond})
	n.Handle(wire.KindFetchPlan, pong)
	c := member(t, n, func(*wire.Hello) {})
	plan := func(length uint32, body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{byte(wire.KindFetchPlan)}, length), body...)
	}
	for name, tc := range map[string]struct {
		bytes []byte
		fin   bool
		want  wire.Code
	}{
		"an unknown kind":      {[]byte{200, 0, 0, 0, 0}, true, wire.Code_UNSUPPORTED},
		"kind 0":               {[]byte{0, 0, 0, 0, 0}, true, wire.Code_UNSUPPORTED},
		"a kind nobody serves": {[]byte{byte(wire.KindPong), 0, 0, 0, 0}, true, wire.Code_UNSUPPORTED},
		"an answer, announced": {announced(wire.KindAttestResponse), false, wire.Code_UNSUPPORTED},
		"a length bomb":        {plan(1 << 31), true, wire.Code_TOO_LARGE},
		"garbage":              {plan(4, 1, 2, 3, 4), true, wire.Code_MALFORMED},
		"no id":                {plan(0), true, wire.Code_MALFORMED},
		"a header that hangs":  {[]byte{byte(wire.KindFetchPlan), 0}, false, wire.Code_TOO_SLOW},
		"a body that hangs":    {plan(34, 1, 2), false, wire.Code_TOO_SLOW},
		"nothing":              {nil, true, wire.Code_MALFORMED},
		"half a header":        {[]byte{byte(wire.KindFetchPlan), 0}, true, wire.Code_MALFORMED},
		"half a body":          {plan(34, 1, 2), true, wire.Code_MALFORMED},
		"an Error":             {[]byte{byte(wire.KindError), 0, 0, 0, 2, 8, 4}, true, wire.Code_UNSUPPORTED},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStream(t, c)
			if _, err := s.Write(tc.bytes); err != nil {
				t.Fatal(err)
			}
			if tc.fin {
				s.Close()
			}
			m, err := wire.ReadFrame(s)
			if e, ok := m.(*wire.Error); !ok || e.GetCode() != tc.want {
				t.Errorf("%v, %v; want %s", m, err, tc.want)
			}
			if rest, err := io.ReadAll(s); err != nil || len(rest) > 0 {
				t.Errorf("after it: %q, %v", rest, err)
			}
		})
	}
	s := openStream(t, c)
	if err := wire.WriteFrame(s, &wire.Ping{}); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.ReadFrame(s); err != nil {
		t.Errorf("the connection suffers: %v, %v", m, err)
	}
	if u, err := c.OpenUniStream(); err == nil {
		t.Errorf("unidirectional stream %v was allowed", u.StreamID())
	}
}

// TestManyRequestsOfOnePeer: beyond its share a peer waits, and others are served meanwhile.
func TestManyRequestsOfOnePeer(t *testing.T) {
	n := node(t, quicnet.Config{MaxStreams: 4})
	c := member(t, n, func(*wire.Hello) {})
	hung := 0
	for {
		s, err := c.OpenStream()
		if err != nil {
			break
		}
		s.Write([]byte{byte(wire.KindPing)}) // and no more
		if hung++; hung > 4 {
			t.Fatal("more than its share")
		}
	}
	ping(t, node(t, quicnet.Config{}), n.Self())
}

// TestTooManyRequests: beyond what the node serves at once, requests are refused, not queued.
func TestTooManyRequests(t *testing.T) {
	n := node(t, quicnet.Config{MaxRequests: 1})
	entered, release := make(chan struct{}), make(chan struct{})
	n.Handle(wire.KindFetchPlan, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		entered <- struct{}{}
		<-release
		return s.Send(&wire.Pong{})
	})
	a := node(t, quicnet.Config{})
	done := make(chan error)
	go func() {
		_, err := a.Call(deadline(t, 10*time.Second), n.Self(), &wire.FetchPlan{Tessera: make([]byte, 32)})
		done <- err
	}()
	<-entered
	var refused *wire.Refusal
	if _, err := a.Call(deadline(t, 10*time.Second), n.Self(), &wire.Ping{}); !errors.As(err, &refused) || refused.Code != wire.Code_BUSY || refused.RetryAfter == 0 {
		t.Errorf("got %v", err)
	}
	ping(t, node(t, quicnet.Config{}), n.Self()) // another peer may have its one
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	ping(t, a, n.Self())
}

// TestCrowdAtTheDoor: strangers that say nothing do not keep out one who says Hello.
func TestCrowdAtTheDoor(t *testing.T) {
	n := node(t, quicnet.Config{MaxHandshakes: 4})
	var crowd []*quic.Conn
	for range 6 {
		crowd = append(crowd, member(t, n, nil))
	}
	turnedAway := func() (n int) { // whoever waited longest; the server may hear of two at once in any order
		for _, c := range crowd {
			if c.Context().Err() != nil {
				n++
			}
		}
		return n
	}
	waitUntil(t, func() bool { return turnedAway() == 2 })
	ping(t, node(t, quicnet.Config{}), n.Self())
	waitUntil(t, func() bool { return turnedAway() == 3 })
	for _, c := range crowd {
		if c.Context().Err() == nil {
			continue
		}
		if code := closedWith(t, c); code != wire.Code_BUSY {
			t.Errorf("closed with %s", code)
		}
	}
}

// TestUnfinishedRequestsKeepNoPlace: a full pool of peers that never finish a request has room.
func TestUnfinishedRequestsKeepNoPlace(t *testing.T) {
	n := node(t, quicnet.Config{MaxConnections: 3})
	for range 6 {
		c := member(t, n, func(*wire.Hello) {})
		for range 3 {
			openStream(t, c).Write([]byte{byte(wire.KindPing), 0})
		}
	}
	ping(t, node(t, quicnet.Config{}), n.Self())
	if s := n.Stats(); s.Size != 3 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
}
