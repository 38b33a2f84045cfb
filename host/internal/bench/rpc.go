package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// rpcGoal is how many times as long as a bare stream a small request may take.
const rpcGoal = 1.3

func rpcStep(l *lab) step {
	const name = "small request"
	return step{name, func(ctx context.Context) (rows []row, err error) {
		times := 4000
		if l.quick {
			times = 50
		}
		holders, err := l.holding(ctx)
		if err != nil {
			return nil, err
		}
		peers, err := l.raw(ctx)
		if err != nil {
			return nil, err
		}
		n, err := l.dialer()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, n.Close()) }()
		addr, err := netip.ParseAddrPort(holders[0].addr)
		if err != nil {
			return nil, err
		}
		peer, err := n.Dial(ctx, identity.Contact{Addr: addr})
		if err != nil {
			return nil, err
		}
		l.settle()
		r, err := duel(ctx, name, 0, times, nil,
			func(int) error {
				_, err := n.Call(ctx, peer.Contact, &wire.Ping{})
				return err
			},
			func(int) error { return exchange(ctx, peers.conns[0], push, 0, nil) })
		return []row{r.within(rpcGoal)}, err
	}}
}

// dialer is a node's network without the node.
func (l *lab) dialer() (*quicnet.Net, error) {
	id, err := identity.LoadOrCreate(l.path("dialer"), powBits)
	if err != nil {
		return nil, err
	}
	socket, err := quicnet.Bind("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return quicnet.Listen(quicnet.Config{PowBits: powBits}, id, socket)
}
