package quicnet_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// holding makes a connection for an identity and asks over it what takes for ever.
func holding(t *testing.T, n *quicnet.Net, id *identity.Identity) *quic.Stream {
	t.Helper()
	s := openStream(t, greeted(t, n, id, nil))
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := wire.WriteFrame(s, fetchPlan()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	return s
}

// greeted is a connection of an identity that was let in.
func greeted(t *testing.T, n *quicnet.Net, id *identity.Identity, change func(*wire.Hello)) *quic.Conn {
	t.Helper()
	conn, err := stranger(t, n, []tls.Certificate{certOf(t, id)}, wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	owner := id.Owner.Key()
	h := &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}, Instance: 5}
	if change != nil {
		change(h)
	}
	s := openStream(t, conn)
	if err := wire.WriteFrame(s, h); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := wire.ReadFrame(s); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestOneKeyDoesNotFillThePool: sixteen connections of one identity, each with a request under way, keep
// neither newcomers out nor this node in.
func TestOneKeyDoesNotFillThePool(t *testing.T) {
	n := node(t, quicnet.Config{MaxConnections: 16})
	release := make(chan struct{})
	entered, _ := held(n, release)
	defer close(release)
	id := newIdentity(t)
	for range 16 {
		holding(t, n, id)
		<-entered
	}
	waitUntil(t, func() bool { return n.Stats().Size == 2 && n.Stats().Active <= 2 })
	ping(t, node(t, quicnet.Config{}), n.Self())
	ping(t, n, node(t, quicnet.Config{}).Self())
}

// TestOneMachineDoesNotFillThePool: as many identities of one machine as there are places, all with a
// request under way.
func TestOneMachineDoesNotFillThePool(t *testing.T) {
	n := node(t, quicnet.Config{MaxConnections: 16})
	release := make(chan struct{})
	entered, _ := held(n, release)
	defer close(release)
	for i := range 24 {
		s := holding(t, n, newIdentity(t))
		if i < 8 {
			<-entered
			continue
		}
		m, err := wire.ReadFrame(s)
		if e, is := m.(*wire.Error); !is || e.GetCode() != wire.Code_BUSY {
			t.Fatalf("identity %d of one machine: %v, %v", i, m, err)
		}
	}
	ping(t, n, node(t, quicnet.Config{}).Self())
}
