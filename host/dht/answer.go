package dht

import (
	"context"

	"github.com/tesseras/tesseras/host/dht/core"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
)

// Registrar is where handlers are registered; *quicnet.Net is one.
type Registrar interface {
	Handle(kind wire.Kind, h quicnet.Handler)
}

// Register takes over the DHT's messages but Ping, whose answer tells about the disk as well.
func (d *DHT) Register(r Registrar) {
	for _, kind := range []wire.Kind{wire.KindFindNode, wire.KindStorePointers, wire.KindFindPointers} {
		r.Handle(kind, func(_ context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
			asker := from.Contact
			asker.Addr = from.Seen
			m, err := d.Answer(asker, req)
			if err != nil {
				return err
			}
			return s.Send(m)
		})
	}
}

// Answer answers one question of a peer, which has the address where it is seen.
func (d *DHT) Answer(from identity.Contact, req wire.Message) (wire.Message, error) {
	switch q := req.(type) {
	case *wire.FindNode:
		a := d.answer(from, core.Question{Kind: core.FindNode, Target: ID(q.GetTarget())})
		return &wire.Nodes{Nodes: contacts(a.Nodes)}, nil
	case *wire.FindPointers:
		a := d.answer(from, core.Question{Kind: core.FindPointers, Target: ID(q.GetTessera())})
		answer := &wire.Pointers{Closer: contacts(a.Nodes)}
		for _, p := range a.Pointers {
			answer.Pointers = append(answer.Pointers, p.Message())
		}
		return answer, nil
	case *wire.StorePointers:
		verified := d.verified(q.GetPointers(), ID{})
		a := d.answer(from, core.Question{Kind: core.StorePointers, Pointers: verified})
		for range len(verified) - a.Stored { // somebody else's, or there is no room
			d.config.Refused(RefusedPointer)
		}
		return &wire.StoreAck{Stored: uint32(a.Stored), Refused: uint32(len(q.GetPointers()) - a.Stored)}, nil
	}
	return nil, wire.Refuse(wire.Code_UNSUPPORTED, "%s", wire.KindOf(req))
}

func (d *DHT) answer(from identity.Contact, q core.Question) core.Answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Ask(d.config.Now(), from, q)
}

func contacts(nodes []core.Node) []*wire.Contact {
	out := make([]*wire.Contact, len(nodes))
	for i, n := range nodes {
		out[i] = wire.NewContact(n.Contact)
	}
	return out
}
