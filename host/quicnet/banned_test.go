package quicnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// garbage is a frame that cannot be read.
var garbage = []byte{byte(wire.KindPing), 0, 0, 0, 2, 1, 2}

// greets says Hello for an identity, with an owner's word for it, and tells what comes of it.
func greets(t *testing.T, n *quicnet.Net, id *identity.Identity, owner *identity.Owner) (*quic.Conn, error) {
	t.Helper()
	key := owner.Key()
	return says(t, n, id, &wire.Hello{Owner: key[:], Delegation: owner.Delegate(id.Node.Key()), Versions: []uint32{1}})
}

// says says a Hello, and tells what comes of it. Who is sent away may learn it at any step.
func says(t *testing.T, n *quicnet.Net, id *identity.Identity, hello *wire.Hello) (*quic.Conn, error) {
	t.Helper()
	conn, err := stranger(t, n, []tls.Certificate{certOf(t, id)}, wire.ALPN)
	if err != nil {
		return nil, err
	}
	s, err := conn.OpenStream()
	if err != nil {
		return conn, err
	}
	if err := wire.WriteFrame(s, hello); err != nil {
		return conn, err
	}
	s.Close()
	_, err = wire.ReadFrame(s)
	return conn, err
}

// sentAwayWith is the code by which the other side closed the connection, -1 where it did not.
func sentAwayWith(err error) wire.Code {
	var app *quic.ApplicationError
	if errors.As(err, &app) && app.Remote {
		return wire.Code(app.ErrorCode)
	}
	return -1
}

// TestAKeyThatBreaksTheProtocolIsShutOut: it is sent away, and so is every other node of its owner; who has
// nothing to do with it is not, and this node may still ask it.
func TestAKeyThatBreaksTheProtocolIsShutOut(t *testing.T) {
	told := &tellings{}
	n := node(t, quicnet.Config{Refused: told.count})
	bad, sister := newIdentity(t), newIdentity(t)
	conn, err := greets(t, n, bad, bad.Owner)
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		s, err := conn.OpenStreamSync(deadline(t, 5*time.Second))
		if err != nil {
			break
		}
		s.Write(garbage)
		s.Close()
	}
	if code := closedWith(t, conn); code != wire.Code_DENIED {
		t.Errorf("closed with %s", code)
	}
	for name, c := range map[string]struct {
		id    *identity.Identity
		owner *identity.Owner
	}{
		"the node":                  {bad, bad.Owner},
		"the node of another owner": {bad, newIdentity(t).Owner},
		"another node of the owner": {sister, bad.Owner},
	} {
		if _, err := greets(t, n, c.id, c.owner); sentAwayWith(err) != wire.Code_DENIED {
			t.Errorf("%s: %v", name, err)
		}
	}
	if told.of(quicnet.RefusedBanned) < 3 {
		t.Errorf("counted: %v", told.all())
	}
	if _, err := greets(t, n, sister, sister.Owner); err != nil {
		t.Errorf("a node that went to another owner: %v", err)
	}
	honest := node(t, quicnet.Config{})
	ping(t, honest, n.Self())
	there := start(t, bad, newSocket(t), quicnet.Config{})
	ping(t, there, honest.Self())
	ping(t, n, there.Self())
}

// TestForgersAreShutOut: a delegation that does not hold is the node's fault and not the owner's it names.
func TestForgersAreShutOut(t *testing.T) {
	n := node(t, quicnet.Config{})
	victim, forger := newIdentity(t), newIdentity(t)
	key := victim.Owner.Key()
	for range 11 {
		if _, err := says(t, n, forger, &wire.Hello{Owner: key[:], Delegation: forger.Delegation, Versions: []uint32{1}}); err == nil {
			t.Error("a false name is believed")
		}
	}
	if _, err := greets(t, n, forger, forger.Owner); sentAwayWith(err) != wire.Code_DENIED {
		t.Errorf("a forger: %v", err)
	}
	if _, err := greets(t, n, victim, victim.Owner); err != nil {
		t.Errorf("whom it named: %v", err)
	}
}

// TestHonestPeersAreNotShutOut (I8): not for being slow, for hanging up, for speaking of what this node does not
// know, or for a version that it does not speak.
func TestHonestPeersAreNotShutOut(t *testing.T) {
	t.Parallel()
	n := node(t, quicnet.Config{FrameTimeout: 2 * time.Second}) // also on a busy machine nobody else is as slow
	n.Handle(wire.KindFetchPlan, func(context.Context, quicnet.Peer, *quicnet.Stream, wire.Message) error {
		return wire.Refuse(wire.Code_HASH_MISMATCH, "rotten")
	})
	id := newIdentity(t)
	for range 15 {
		conn, err := stranger(t, n, []tls.Certificate{certOf(t, id)}, wire.ALPN)
		if err != nil {
			t.Fatal(err)
		}
		owner := id.Owner.Key()
		s := openStream(t, conn)
		wire.WriteFrame(s, &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{99}})
		s.Close()
		if code := closedWith(t, conn); code != wire.Code_UNSUPPORTED {
			t.Fatalf("closed with %s", code)
		}
	}
	conn, err := greets(t, n, id, id.Owner)
	if err != nil {
		t.Fatal(err)
	}
	answered := func(s *quic.Stream) {
		t.Helper()
		s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := wire.ReadFrame(s); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(b ...byte) {
		t.Helper()
		s := openStream(t, conn)
		s.Write(b)
		s.Close()
		answered(s)
	}
	plan, err := wire.AppendFrame(nil, fetchPlan())
	if err != nil {
		t.Fatal(err)
	}
	var slow []*quic.Stream
	for range 15 {
		ask(byte(wire.KindPing), 0, 0)      // breaks off
		ask(200, 0, 0, 0, 0)                // of another version
		ask(plan...)                        // its disk rots
		openStream(t, conn).CancelWrite(18) // wants no more
		s := openStream(t, conn)            // is slow
		s.Write([]byte{byte(wire.KindPing), 0, 0})
		slow = append(slow, s)
	}
	for _, s := range slow {
		answered(s)
	}
	ping(t, start(t, id, newSocket(t), quicnet.Config{}), n.Self())
}

// TestAnOwnerHasAPace: nodes of one owner at two addresses have together what one address has.
func TestAnOwnerHasAPace(t *testing.T) {
	told := &tellings{}
	n := node(t, quicnet.Config{SourceRequests: 2, Refused: told.count}) // 9 at once, from loopback 144
	first, second := newIdentity(t), newIdentity(t)
	answered := 0
	for i, id := range []*identity.Identity{first, second} {
		conn := from(t, n, id, net.IPv4(127, 0, 0, byte(i+2)), first.Owner)
		for range 100 {
			s := openStream(t, conn)
			if err := wire.WriteFrame(s, &wire.Ping{}); err != nil {
				t.Fatal(err)
			}
			s.Close()
			m, err := wire.ReadFrame(s)
			if err != nil {
				t.Fatal(err)
			}
			if _, is := m.(*wire.Pong); is {
				answered++
			}
		}
	}
	if answered < 144 || answered == 200 || told.of(quicnet.RefusedOwner) == 0 {
		t.Errorf("%d of 200 answered at once, want about 144; %v", answered, told.all())
	}
}

// from is a connection of an identity from an address of this computer.
func from(t *testing.T, n *quicnet.Net, id *identity.Identity, ip net.IP, owner *identity.Owner) *quic.Conn {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: pc}
	t.Cleanup(func() { errors.Join(tr.Close(), pc.Close()) })
	config := &tls.Config{Certificates: []tls.Certificate{certOf(t, id)}, NextProtos: []string{wire.ALPN}, InsecureSkipVerify: true}
	conn, err := tr.Dial(deadline(t, 5*time.Second), net.UDPAddrFromAddrPort(n.Addr()), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := owner.Key()
	s := openStream(t, conn)
	if err := wire.WriteFrame(s, &wire.Hello{Owner: key[:], Delegation: owner.Delegate(id.Node.Key()), Versions: []uint32{1}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := wire.ReadFrame(s); err != nil {
		t.Fatal(err)
	}
	return conn
}
