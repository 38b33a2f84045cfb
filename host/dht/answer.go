package dht

import (
	"context"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Registrar is where handlers are registered; *quicnet.Net is one.
type Registrar interface {
	Handle(kind wire.Kind, h quicnet.Handler)
}

// Register takes over the DHT's messages but Ping, whose answer tells about the disk as well.
func (d *DHT) Register(r Registrar) {
	for _, kind := range []wire.Kind{wire.KindFindNode, wire.KindStorePointers, wire.KindFindPointers} {
		r.Handle(kind, func(_ context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
			m, err := d.Answer(from.Contact, req)
			if err != nil {
				return err
			}
			return s.Send(m)
		})
	}
}

// Answer answers one question of a peer.
func (d *DHT) Answer(from identity.Contact, req wire.Message) (wire.Message, error) {
	switch q := req.(type) {
	case *wire.FindNode:
		return &wire.Nodes{Nodes: d.closestFor(from, ID(q.GetTarget()))}, nil
	case *wire.FindPointers:
		return d.answerFind(from, sdk.TesseraID(q.GetTessera())), nil
	case *wire.StorePointers:
		return d.answerStore(q), nil
	}
	return nil, wire.Refuse(wire.Code_UNSUPPORTED, "%s", wire.KindOf(req))
}

// closestFor lists the live contacts nearest to a target, but not the asker.
func (d *DHT) closestFor(asker identity.Contact, target ID) []*wire.Contact {
	d.mu.Lock()
	near := d.table.closest(target, d.config.K, func(c identity.Contact) bool {
		private := public(asker.Addr.Addr()) && !public(c.Addr.Addr())
		return c.Key != asker.Key && !private && d.book.alive(c.Key)
	})
	d.mu.Unlock()
	out := make([]*wire.Contact, len(near))
	for i, c := range near {
		out[i] = wire.NewContact(c)
	}
	return out
}

func (d *DHT) answerFind(asker identity.Contact, tessera sdk.TesseraID) *wire.Pointers {
	d.mu.Lock()
	found := d.pointers.find(tessera, d.config.Now())
	d.mu.Unlock()
	answer := &wire.Pointers{Closer: d.closestFor(asker, ID(tessera))}
	for _, p := range found[:min(len(found), wire.MaxPointers)] {
		answer.Pointers = append(answer.Pointers, p.Message())
	}
	return answer
}

// answerStore keeps the pointers that hold. Whoever brings them: each is signed by its holder.
func (d *DHT) answerStore(q *wire.StorePointers) *wire.StoreAck {
	valid := d.verified(q.GetPointers(), nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	stored := 0
	for _, p := range valid {
		if d.pointers.put(p) {
			stored++
		}
	}
	return &wire.StoreAck{Stored: uint32(stored), Refused: uint32(len(q.GetPointers()) - stored)}
}
