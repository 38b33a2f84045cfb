package quicnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// connect returns a connection to the peer, taken into use: the pooled one, or a new one. Several who
// ask for the same at once share one dial. A zero key means whoever answers at the address.
func (n *Net) connect(ctx context.Context, to identity.Contact) (*conn, error) {
	if to.Key == n.id.Node.Key() {
		return nil, ErrSelf
	}
	if c := n.pool.acquire(to.Key); c != nil {
		n.pool.count(true)
		return c, nil
	}
	n.pool.count(false)
	const tries = 3 // a new connection can be gone before it is used, but hardly three
	for range tries {
		peer, err := n.dial(ctx, to)
		if err != nil {
			return nil, err
		}
		if c := n.pool.acquire(peer.Contact.Key); c != nil {
			return c, nil
		}
	}
	return nil, ErrGone
}

// dial makes a connection, or waits for the one being made to the same contact.
func (n *Net) dial(ctx context.Context, to identity.Contact) (Peer, error) {
	var dialCtx context.Context
	d, begun := n.pool.join(to, func() *dial {
		d := &dial{done: make(chan struct{})}
		dialCtx, d.cancel = context.WithTimeout(n.ctx, n.config.DialTimeout)
		return d
	})
	if begun && !n.spawn(func() {
		peer, err := n.dialOnce(dialCtx, to)
		n.pool.finish(to, d, peer, err)
	}) {
		n.pool.finish(to, d, Peer{}, ErrClosed)
	}
	select {
	case <-d.done:
		return d.peer, d.err
	case <-ctx.Done():
		n.pool.leave(to, d)
		return Peer{}, context.Cause(ctx)
	}
}

func (n *Net) dialOnce(ctx context.Context, to identity.Contact) (Peer, error) {
	if !to.Addr.IsValid() || to.Addr.Port() == 0 {
		return Peer{}, fmt.Errorf("dial %q: %w: no address", to.Addr, ErrUnreachable)
	}
	if p, there := n.pool.connected(to.Key); there { // by a dial that ended while this one began
		return p, nil
	}
	if n.absent.waits(to, time.Now()) {
		return Peer{}, fmt.Errorf("dial %s: %w: it did not answer just now", to.Addr, ErrUnreachable)
	}
	if err := n.reserve(true); err != nil {
		return Peer{}, fmt.Errorf("dial %s: %w", to.Addr, err)
	}
	c, err := n.handshakePatiently(ctx, to)
	if err != nil {
		n.pool.unreserve(true)
		if err = unreachable(err); errors.Is(err, ErrUnreachable) && !to.Key.IsZero() {
			n.absent.failed(to, time.Now())
			n.claims.fail(to)
			n.tellLost(to)
		}
		return Peer{}, fmt.Errorf("dial %s: %w", to.Addr, err)
	}
	n.adopt(c)
	return c.peer, nil
}

// handshakePatiently dials again, a little later each time, while the other side has too many strangers
// at once.
func (n *Net) handshakePatiently(ctx context.Context, to identity.Contact) (*conn, error) {
	const tries = 4
	wait := 100 * time.Millisecond
	for i := 1; ; i++ {
		c, err := n.handshake(ctx, to)
		var refused *quic.TransportError
		if i == tries || !errors.As(err, &refused) || !refused.Remote || refused.ErrorCode != quic.ConnectionRefused {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait + rand.N(wait)):
			wait *= 2
		}
	}
}

// handshake dials, proves who we are and learns who answers, and says Hello.
func (n *Net) handshake(ctx context.Context, to identity.Contact) (*conn, error) {
	var who identity.Contact
	var failure error
	config := expectPeer(n.tls, n.config.PowBits, n.id.Node.Key(), to.Key, &who, &failure)
	q, err := n.tr.Dial(ctx, net.UDPAddrFromAddrPort(to.Addr), config, n.quic)
	if err != nil {
		if failure != nil {
			n.refused(failure)
			return nil, failure
		}
		return nil, explainIn(ctx, err)
	}
	c, err := n.sayHello(ctx, q, who)
	if err != nil {
		err = explainIn(ctx, err)
		n.refused(err)
		q.CloseWithError(closeCode(refusalFor(err).Code), "")
		n.windows.forget(q)
		return nil, err
	}
	return c, nil
}

func (n *Net) sayHello(ctx context.Context, q *quic.Conn, who identity.Contact) (*conn, error) {
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	defer s.CancelRead(0)
	s.SetDeadline(time.Now().Add(n.config.FrameTimeout))
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Now()) })
	defer stop()
	seen := addrPort(q.RemoteAddr())
	if err := wire.WriteFrame(s, n.hello(seen)); err != nil {
		return nil, err
	}
	s.Close()
	m, err := wire.ReadFrameIf(s, due(wire.KindHelloAck))
	if err != nil {
		return nil, err
	}
	return n.newConn(q, m.(*wire.HelloAck).GetHello(), who, seen, true)
}

// welcome learns who a new connection is from, before anything else it asks for is looked at.
func (n *Net) welcome(q *quic.Conn) {
	ctx, turnAway := context.WithCancelCause(n.ctx)
	defer turnAway(nil)
	defer n.door.leave(n.door.enter(turnAway))
	patience := time.AfterFunc(n.config.FrameTimeout, func() { turnAway(ErrSilent) })
	defer patience.Stop()
	c, err := n.hearHello(ctx, q)
	if err != nil {
		err = explainIn(ctx, err)
		n.refused(err)
		refusal := refusalFor(err)
		n.log.Debug("a stranger was turned away", "from", q.RemoteAddr(), "code", refusal.Code, "err", err)
		q.CloseWithError(closeCode(refusal.Code), refusal.Text)
		n.windows.forget(q)
		return
	}
	n.adopt(c)
}

func (n *Net) hearHello(ctx context.Context, q *quic.Conn) (c *conn, err error) {
	who, err := contactOf(q.ConnectionState().TLS, n.config.PowBits)
	if err != nil {
		return nil, err
	}
	if err := n.denied(who.Key); err != nil {
		return nil, err
	}
	defer func() {
		if isFault(err) { // of the node; which owner it has is not known
			n.bans.blame(time.Now(), who.Key)
		}
	}()
	if who.Key == n.id.Node.Key() {
		return nil, named(RefusedSelf, wire.Refuse(wire.Code_DENIED, "that is this node itself"))
	}
	s, err := q.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	defer s.CancelRead(0)
	s.SetDeadline(time.Now().Add(n.config.FrameTimeout))
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Now()) })
	defer stop()
	m, err := wire.ReadFrameIf(s, due(wire.KindHello))
	if err != nil {
		return nil, err
	}
	if n.draining.Load() {
		return nil, wire.Refuse(wire.Code_BUSY, "this node is stopping")
	}
	seen := addrPort(q.RemoteAddr())
	if c, err = n.newConn(q, m.(*wire.Hello), who, seen, false); err != nil {
		return nil, err
	}
	if err := n.denied(c.peer.Owner); err != nil {
		return nil, err
	}
	if err := n.reserve(false); err != nil {
		return nil, named(RefusedPool, wire.Refuse(wire.Code_BUSY, "every connection of this node is in use"))
	}
	if err := wire.WriteFrame(s, &wire.HelloAck{Hello: n.hello(seen), Version: c.peer.Version}); err != nil {
		n.pool.unreserve(false)
		return nil, err
	}
	s.Close()
	return c, nil
}

// due lets only one kind of message come.
func due(k wire.Kind) func(wire.Kind) error {
	return func(came wire.Kind) error {
		if came != k {
			return fmt.Errorf("%w: %s where %s is due", wire.ErrMalformed, came, k)
		}
		return nil
	}
}

// hello is what this node says of itself to a peer it sees at an address.
func (n *Net) hello(seen netip.AddrPort) *wire.Hello {
	owner := n.id.Owner.Key()
	listen := n.config.Advertise
	if !listen.IsValid() {
		listen = netip.AddrPortFrom(netip.Addr{}, n.Addr().Port())
	}
	return &wire.Hello{
		Owner: owner[:], Delegation: n.id.Delegation, Versions: []uint32{protocolVersion}, Software: n.config.Software,
		Listen: wire.NewAddress(listen), Seen: wire.NewAddress(seen),
		FreeBytes: n.config.FreeBytes(), Capabilities: n.config.Capabilities(), Instance: n.instance,
		Institution: n.config.Institution,
	}
}

func (n *Net) newConn(q *quic.Conn, h *wire.Hello, who identity.Contact, seen netip.AddrPort, dialed bool) (*conn, error) {
	peer, listen, err := peerFrom(h, who, seen)
	if err != nil {
		return nil, err
	}
	peer.Dialed = dialed
	claim := n.locate(&peer, listen)
	return &conn{q: q, peer: peer, claim: claim, instance: h.GetInstance(), ended: q.Context().Done()}, nil
}

// reserve takes a place in the pool, closing the oldest idle connection for it if need be.
func (n *Net) reserve(dialed bool) error {
	evicted, err := n.pool.reserve(dialed)
	if evicted != nil {
		evicted.q.CloseWithError(closeFaultless, "making room")
	}
	return err
}

// adopt puts a greeted connection into the pool, in its reserved place, and serves what comes over it.
func (n *Net) adopt(c *conn) {
	if surplus := n.pool.add(c); surplus != nil {
		surplus.q.CloseWithError(closeFaultless, "replaced")
	}
	n.absent.back(c.peer.Contact)
	if !n.views.note(c.peer.Contact.Key, c.peer.Seen.Addr(), c.peer.SeenUs) {
		n.config.Refused(RefusedView)
	}
	if !n.spawn(func() { n.serveConn(c) }) {
		n.pool.remove(c)
		n.windows.forget(c.q)
		c.q.CloseWithError(closeFaultless, "closing")
		return
	}
	n.tellMet(c.peer)
	if c.claim.IsValid() {
		n.spawn(func() { n.check(c) })
	}
}

// Dial makes sure there is a connection to the peer and tells who it is. A contact with a zero key
// means whoever answers at its address.
func (n *Net) Dial(ctx context.Context, to identity.Contact) (Peer, error) {
	if to.Key.IsZero() {
		there := func(p Peer) bool { return p.Seen == to.Addr }
		if p, ok := n.pool.at(there); ok {
			return p, nil
		}
		if to.Addr == n.Addr() || to.Addr == n.config.Advertise {
			return Peer{}, ErrSelf
		}
	}
	c, err := n.connect(ctx, to)
	if err != nil {
		return Peer{}, err
	}
	defer n.pool.release(c)
	return c.peer, nil
}
