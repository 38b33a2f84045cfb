package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
)

// dialBacks bounds the dials made for others: few at once, and one for a source in a while.
type dialBacks struct {
	mu      sync.Mutex // guards below
	running int
	pace    *sources
}

const (
	maxDialBacks = 4
	dialBackTime = 3 * time.Second
	// dialBackPace is how many dials a second one source may ask for; five at once.
	dialBackPace = 1
)

func (d *dialBacks) enter(from netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running >= maxDialBacks || !d.pace.allow(from, 1, time.Now()) {
		return false
	}
	d.running++
	return true
}

func (d *dialBacks) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
}

// serveDialBack tells a peer whether a stranger reaches it. Only the address it is seen at is dialled,
// so nobody can have a third one bothered.
func (n *Net) serveDialBack(ctx context.Context, from Peer, s *Stream, _ wire.Message) error {
	at := netip.AddrPortFrom(from.Seen.Addr(), from.Contact.Addr.Port())
	if !n.dialBacks.enter(from.Seen.Addr()) {
		return wire.Refuse(wire.Code_BUSY, "too many are being dialled back").Later(5 * time.Second)
	}
	defer n.dialBacks.leave()
	err := n.dialAsStranger(ctx, identity.Contact{Key: from.Contact.Key, Addr: at})
	if err != nil {
		n.log.Debug("dialling back failed", "peer", from.ID().Short(), "addr", at, "err", err)
	}
	return s.Send(&wire.DialBackAck{Reached: err == nil, Tried: wire.NewAddress(at)})
}

// dialAsStranger dials from a socket of its own and proves who answers, no more.
func (n *Net) dialAsStranger(ctx context.Context, to identity.Contact) error {
	ctx, cancel := context.WithTimeout(ctx, dialBackTime)
	defer cancel()
	network := "udp4"
	if to.Addr.Addr().Is6() {
		network = "udp6"
	}
	pc, err := net.ListenUDP(network, nil)
	if err != nil {
		return fmt.Errorf("socket to dial back: %w", err)
	}
	tr := &quic.Transport{Conn: pc}
	defer func() { _ = errors.Join(tr.Close(), pc.Close()) }()
	return n.answers(ctx, tr, to)
}

// answers dials and hears whether the key answers at the address, no more.
func (n *Net) answers(ctx context.Context, tr *quic.Transport, to identity.Contact) error {
	var who identity.Contact
	var failure error
	q, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(to.Addr), expectPeer(n.tls, n.config.PowBits, n.id.Node.Key(), to.Key, &who, &failure), n.quic)
	if err != nil {
		return errors.Join(failure, err)
	}
	return q.CloseWithError(closeFaultless, "dialled back")
}

// DialBack asks a peer to dial this node as a stranger would, and tells where it tried and whether it
// got through.
func (n *Net) DialBack(ctx context.Context, peer identity.Contact) (tried netip.AddrPort, reached bool, err error) {
	m, err := n.Call(ctx, peer, &wire.DialBack{})
	if err != nil {
		return netip.AddrPort{}, false, err
	}
	ack, is := m.(*wire.DialBackAck)
	if !is {
		return netip.AddrPort{}, false, fmt.Errorf("%w: %s where DialBackAck is due", wire.ErrMalformed, wire.KindOf(m))
	}
	tried, err = ack.GetTried().AddrPort()
	return tried, ack.GetReached(), err
}
