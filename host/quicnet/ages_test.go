package quicnet_test

import (
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// fromTheFuture adds a field to a message that this version has no name for.
func fromTheFuture[M proto.Message](m M) M {
	field := protowire.AppendTag(nil, 1000, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(field, []byte("from the future")))
	return m
}

// ages are the peers that are older or newer than this node, by what they say of themselves.
var ages = map[string]struct {
	hello        func(*wire.Hello)
	capabilities uint64
}{
	"an older one, that says what it must and no more": {func(*wire.Hello) {}, 0},
	"a newer one": {func(h *wire.Hello) {
		h.Versions, h.Capabilities = []uint32{9, 1, 7}, 1<<63|quicnet.CapMaintenance
		fromTheFuture(h)
	}, 1<<63 | quicnet.CapMaintenance},
}

// TestPeersOfOtherAgesAreServed: they agree on the version both speak, are asked and answered with fields that
// one of them does not know, and what this node cannot do costs the one who asks for it nothing but that.
func TestPeersOfOtherAgesAreServed(t *testing.T) {
	for name, c := range ages {
		t.Run(name, func(t *testing.T) {
			n := node(t, quicnet.Config{})
			n.Handle(wire.KindPing, pong)
			conn := member(t, n, c.hello)
			waitUntil(t, func() bool { return len(n.Connected()) == 1 })
			checkAge(t, n.Connected()[0], c.capabilities)
			if m := asked(t, conn, frameOf(t, fromTheFuture(&wire.Ping{}))); wire.KindOf(m) != wire.KindPong {
				t.Errorf("a Ping with a field of the future: %v", m)
			}
			refused, is := asked(t, conn, []byte{200, 0, 0, 0, 3, 1, 2, 3}).(*wire.Error)
			if !is || refused.GetCode() != wire.Code_UNSUPPORTED {
				t.Errorf("a kind of request that is not known: %v", refused)
			}
			if m := asked(t, conn, frameOf(t, &wire.Ping{})); wire.KindOf(m) != wire.KindPong {
				t.Errorf("after it: %v", m)
			}
		})
	}
}

// TestPeersOfOtherAgesAreAsked is the same for peers that this node dials.
func TestPeersOfOtherAgesAreAsked(t *testing.T) {
	for name, c := range ages {
		t.Run(name, func(t *testing.T) {
			answers := []wire.Message{&wire.Error{Code: 999, Text: "from the future"}, fromTheFuture(&wire.Pong{FreeBytes: 5})}
			to := foreign(t, c.hello, func(s *quic.Stream) {
				wire.WriteFrame(s, answers[0])
				answers = answers[1:]
				s.Close()
			})
			n := node(t, quicnet.Config{})
			p, err := n.Dial(deadline(t, 10*time.Second), to)
			if err != nil {
				t.Fatal(err)
			}
			checkAge(t, p, c.capabilities)
			if _, err := n.Call(deadline(t, 10*time.Second), to, &wire.Ping{}); wire.CodeOf(err) != 999 {
				t.Errorf("a refusal with a code that is not known: %v", err)
			}
			m, err := n.Call(deadline(t, 10*time.Second), to, &wire.Ping{})
			if err != nil || m.(*wire.Pong).GetFreeBytes() != 5 {
				t.Errorf("a Pong with a field of the future: %v, %v", m, err)
			}
		})
	}
}

func checkAge(t *testing.T, p quicnet.Peer, capabilities uint64) {
	t.Helper()
	if p.Version != 1 || p.Capabilities != capabilities {
		t.Errorf("version %d, capabilities %x, want 1 and %x", p.Version, p.Capabilities, capabilities)
	}
}

func frameOf(t *testing.T, m wire.Message) []byte {
	t.Helper()
	frame, err := wire.AppendFrame(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// asked sends bytes over a stream of their own and reads the answer.
func asked(t *testing.T, c *quic.Conn, request []byte) wire.Message {
	t.Helper()
	s := openStream(t, c)
	if _, err := s.Write(request); err != nil {
		t.Fatal(err)
	}
	s.Close()
	m, err := wire.ReadFrame(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
