package quicnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// TestLiarsOnTheOtherEnd: a server that does not keep to the rules harms nobody who asks it.
func TestLiarsOnTheOtherEnd(t *testing.T) {
	a := node(t, quicnet.Config{FrameTimeout: 300 * time.Millisecond, AnswerTimeout: 300 * time.Millisecond})
	for name, c := range map[string]struct {
		answer func(s *quic.Stream)
		check  func(error) bool
	}{
		"hangs up":     {func(s *quic.Stream) { s.Close() }, isErr(io.ErrUnexpectedEOF)},
		"half a frame": {func(s *quic.Stream) { s.Write([]byte{5, 0, 0}); s.Close() }, isErr(io.ErrUnexpectedEOF)},
		"garbage":      {func(s *quic.Stream) { s.Write([]byte("hello, world")); s.Close() }, isErr(wire.ErrUnknownKind)},
		"a bomb":       {func(s *quic.Stream) { s.Write([]byte{5, 255, 255, 255, 255}) }, isErr(wire.ErrTooLarge)},
		"nothing":      {func(*quic.Stream) {}, isErr(quicnet.ErrSilent)},
		"reset":        {func(s *quic.Stream) { s.CancelWrite(7) }, isCode(wire.Code_OVER_LIMIT)},
		"reset with 0": {func(s *quic.Stream) { s.CancelWrite(0) }, isCode(wire.Code_CANCELLED)},
		"odd reset":    {func(s *quic.Stream) { s.CancelWrite(1 << 40) }, isCode(wire.Code_CANCELLED)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Call(deadline(t, 10*time.Second), liar(t, c.answer), &wire.Ping{})
			if !c.check(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func isErr(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

func isCode(want wire.Code) func(error) bool {
	return func(err error) bool { return wire.CodeOf(err) == want }
}

// liar is a server that says Hello as it should and then answers as told.
func liar(t *testing.T, answer func(*quic.Stream)) identity.Contact {
	t.Helper()
	return foreign(t, func(*wire.Hello) {}, answer)
}

// TestAPeerThatLetsNobodyAsk: it takes the connection and no request over it. Who asks does not wait for ever.
func TestAPeerThatLetsNobodyAsk(t *testing.T) {
	a := node(t, quicnet.Config{AnswerTimeout: 300 * time.Millisecond})
	miser := serve(t, &quic.Config{MaxIncomingStreams: 1}, func(*wire.Hello) {}, func(*quic.Stream) {})
	if _, err := a.Open(deadline(t, 10*time.Second), miser); !errors.Is(err, quicnet.ErrSilent) {
		t.Errorf("got %v", err)
	}
	if s := a.Stats(); s.Active != 0 {
		t.Errorf("the connection is still in use: %+v", s)
	}
}

// foreign is a server that is none of ours, with a Hello of its own.
func foreign(t *testing.T, change func(*wire.Hello), answer func(*quic.Stream)) identity.Contact {
	t.Helper()
	return serve(t, nil, change, answer)
}

func serve(t *testing.T, q *quic.Config, change func(*wire.Hello), answer func(*quic.Stream)) identity.Contact {
	t.Helper()
	id := newIdentity(t)
	config := &tls.Config{
		Certificates: []tls.Certificate{certOf(t, id)}, NextProtos: []string{wire.ALPN}, ClientAuth: tls.RequireAnyClientCert,
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", config, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		c, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		defer c.CloseWithError(0, "")
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		owner := id.Owner.Key()
		hello := &wire.Hello{Owner: owner[:], Delegation: id.Delegation, Versions: []uint32{1}}
		change(hello)
		wire.WriteFrame(s, &wire.HelloAck{Hello: hello, Version: 1})
		for {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			answer(s)
		}
	}()
	at := listener.Addr().(*net.UDPAddr).AddrPort()
	return identity.Contact{Key: id.Node.Key(), Nonce: id.Node.Nonce(), Addr: at}
}
