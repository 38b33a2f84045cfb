package quicnet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Handler serves one request. It answers over the stream; what it returns ends the exchange: nil ends
// it well, a *wire.Refusal is told to the peer, any other error is told as INTERNAL without its text.
// ctx ends when the peer loses interest. req and what it holds belong to the handler.
type Handler func(ctx context.Context, from Peer, s *Stream, req wire.Message) error

// Net is a node's place on the network: it dials, listens, and keeps the connections.
type Net struct {
	config   Config
	id       *identity.Identity
	conn     net.PacketConn
	tr       *quic.Transport
	listener *quic.Listener
	tls      *tls.Config
	quic     *quic.Config
	log      *slog.Logger
	instance uint64
	pool     *pool
	windows  *windows
	views    views
	buffers  sync.Pool // of *[]byte, bodySize each

	gate      *gate
	requests  *sources
	owners    *paces[sdk.OwnerKey] // of requests, over all nodes of an owner
	bans      *bans
	absent    *absent
	dialBacks dialBacks
	checks    dialBacks // of addresses that peers claim
	claims    claims
	door      door
	draining  atomic.Bool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu        sync.RWMutex // guards below
	handlers  map[wire.Kind]Handler
	observers []func(Peer)
	mourners  []func(identity.Contact)
	closed    bool
	tasks     sync.WaitGroup // every goroutine; grows only under mu while not closed
	serving   sync.WaitGroup // requests being served; likewise
}

// Listen starts a node's network on a socket, which belongs to the Net from now on. It can dial at
// once; strangers are let in by Serve.
func Listen(config Config, id *identity.Identity, conn net.PacketConn) (*Net, error) {
	config = config.withDefaults()
	own, err := id.Node.Certificate(config.Now())
	if err != nil {
		return nil, err
	}
	var instance [8]byte
	rand.Read(instance[:])
	n := &Net{
		config: config, id: id, conn: conn, log: config.Log,
		instance: binary.BigEndian.Uint64(instance[:]),
		pool:     newPool(id.Node.Key(), config.MaxConnections, config.MaxStreams),
		windows:  newWindows(config.WindowBudget),
		buffers:  sync.Pool{New: func() any { b := make([]byte, bodyBuffer); return &b }},
		gate:     newGate(config),
		requests: newSources(config.SourceRequests, maxSources),
		owners:   newPaces[sdk.OwnerKey](config.SourceRequests, burstOf(config.SourceRequests), maxSources),
		bans:     newBans(),
		views:    views{owns: onThisComputer},
		absent:   newAbsent(config.RetryFirst, config.RetryMost),
		door:     door{places: config.MaxHandshakes},
		handlers: map[wire.Kind]Handler{},
	}
	n.tls = n.tlsConfig(own)
	n.dialBacks.pace = newSources(dialBackPace, maxSources)
	n.checks.pace = newSources(dialBackPace, maxSources)
	n.handlers[wire.KindDialBack] = n.serveDialBack
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.quic = quicConfig(config, n.windows)
	n.tr = transport(id, conn, n.gate)
	if n.listener, err = n.tr.Listen(n.tls, n.quic); err != nil {
		n.cancel()
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", conn.LocalAddr(), err), conn.Close())
	}
	n.warnOfSmallBuffers()
	n.spawn(func() { n.watch(n.ctx) })
	return n, nil
}

func quicConfig(c Config, w *windows) *quic.Config {
	return &quic.Config{
		InitialPacketSize:              1200, // every path takes that much; more is found out
		HandshakeIdleTimeout:           c.DialTimeout * 3 / 10,
		MaxIdleTimeout:                 c.SilentTimeout,
		KeepAlivePeriod:                c.SilentTimeout / 2,
		InitialStreamReceiveWindow:     uint64(min(c.StreamWindow, initialWindow)),
		MaxStreamReceiveWindow:         uint64(c.StreamWindow),
		InitialConnectionReceiveWindow: uint64(min(c.ConnectionWindow, initialWindow)),
		MaxConnectionReceiveWindow:     uint64(c.ConnectionWindow),
		AllowConnectionWindowIncrease:  w.allow,
		MaxIncomingStreams:             int64(c.MaxStreams),
		MaxIncomingUniStreams:          -1,
	}
}

// initialWindow is what a peer may have under way before it has shown that it is read from.
const initialWindow = 512 << 10

// What the node key is made into, beside itself: never change these.
const (
	resetContext = "tesseras quic stateless reset 1"
	tokenContext = "tesseras quic address token 1"
)

// transport makes the node's end of QUIC. Its keys are the same after a restart, so that peers notice at once
// that an old connection died with the process, and addresses that proved themselves need not do so again.
func transport(id *identity.Identity, conn net.PacketConn, g *gate) *quic.Transport {
	reset := quic.StatelessResetKey(id.Node.Derive(resetContext))
	token := quic.TokenGeneratorKey(id.Node.Derive(tokenContext))
	return &quic.Transport{
		Conn:                bundled(conn),
		StatelessResetKey:   &reset,
		TokenGeneratorKey:   &token,
		VerifySourceAddress: g.suspects,
		ConnContext:         g.admit,
	}
}

func (n *Net) warnOfSmallBuffers() {
	receive, send, ok := Buffers(n.conn)
	if ok && min(receive, send) < WantedBuffer {
		n.log.Warn("the kernel gives small UDP buffers; transfers will be slower (raise net.core.rmem_max and wmem_max)",
			"receive", receive, "send", send, "wanted", WantedBuffer)
	}
}

// Handle sets who serves a kind of request.
func (n *Net) Handle(kind wire.Kind, h Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[kind] = h
}

// OnPeer asks to be told of every connection made, in either direction, after the peer was verified; and of
// a connected peer once more when it was found at another address, where it had asked to be dialled.
// f must return soon.
func (n *Net) OnPeer(f func(Peer)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observers = append(n.observers, f)
}

// OnLost asks to be told of every peer that could not be reached, or whose connection died in silence.
// f must return soon.
func (n *Net) OnLost(f func(identity.Contact)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mourners = append(n.mourners, f)
}

func (n *Net) tellMet(p Peer) {
	n.mu.RLock()
	observers := n.observers
	n.mu.RUnlock()
	for _, tell := range observers {
		tell(p)
	}
}

func (n *Net) tellLost(who identity.Contact) {
	n.mu.RLock()
	mourners := n.mourners
	n.mu.RUnlock()
	for _, tell := range mourners {
		tell(who)
	}
}

// Addr is where the socket listens.
func (n *Net) Addr() netip.AddrPort { return addrPort(n.conn.LocalAddr()) }

// Self is this node as others can dial it: at the configured address, else at the one the socket is
// bound to, else where peers agree to see it; a lone voice counts only where it can be no lie about another
// network. Its Addr is zero while none of these is known.
func (n *Net) Self() identity.Contact {
	local := n.Addr()
	switch {
	case n.config.Advertise.IsValid():
		return selfContact(n.id, n.config.Advertise)
	case !local.Addr().IsUnspecified():
		return selfContact(n.id, local)
	}
	return selfContact(n.id, n.views.believed())
}

// Views is where connected peers say they see this node, and how many say so.
func (n *Net) Views() map[netip.AddrPort]int { return n.views.count() }

// Agreed is where this node is as far as enough peers agree: two voices or more, and two of three. Peers
// of one public subnet have one voice. The zero AddrPort: they do not, or too few were asked.
func (n *Net) Agreed() netip.AddrPort { return n.views.agreed() }

// UDPBuffers tells the sizes in bytes of the socket's buffers; ok is false where it is no real socket.
func (n *Net) UDPBuffers() (receive, send int, ok bool) { return Buffers(n.conn) }

// Stats counts what the pool did.
func (n *Net) Stats() Stats {
	s, _ := n.pool.snapshot()
	return s
}

// Gate counts what happened to strangers before TLS.
func (n *Net) Gate() GateStats { return n.gate.snapshot() }

// Connected lists the peers there is a connection to.
func (n *Net) Connected() []Peer {
	_, peers := n.pool.snapshot()
	return peers
}

// Serve lets peers in and closes idle connections until ctx ends or Close is called. Connections that exist go on being
// served until Close.
func (n *Net) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if !n.spawn(func() { n.reap(ctx) }) {
		return nil
	}
	for {
		q, err := n.listener.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil || n.ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		leave(q.Context())
		if !n.spawn(func() { n.welcome(q) }) {
			q.CloseWithError(closeFaultless, "closing")
		}
	}
}

// reap closes idle connections until ctx ends.
func (n *Net) reap(ctx context.Context) {
	tick := time.NewTicker(n.config.ReaperInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, c := range n.pool.idle(time.Now().Add(-n.config.IdleTimeout)) {
				c.q.CloseWithError(closeFaultless, "idle")
			}
		}
	}
}

// Drain refuses new requests and waits for those being served.
func (n *Net) Drain(ctx context.Context) error {
	n.mu.Lock()
	n.draining.Store(true)
	n.mu.Unlock()
	done := make(chan struct{})
	n.spawn(func() {
		n.serving.Wait()
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends every request and connection, and waits for all that was started.
func (n *Net) Close() error {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if again {
		n.tasks.Wait()
		return nil
	}
	n.cancel()
	var closing sync.WaitGroup
	for _, c := range n.pool.takeAll() {
		closing.Go(func() { c.q.CloseWithError(closeFaultless, "closing") })
	}
	closing.Wait()
	err := n.listener.Close()
	n.tasks.Wait()
	return errors.Join(err, n.tr.Close(), n.conn.Close())
}

// spawn starts a goroutine that Close waits for; false when it is too late for that.
func (n *Net) spawn(f func()) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return false
	}
	n.tasks.Go(f)
	return true
}
