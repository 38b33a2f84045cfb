package host

import (
	"context"
	"time"

	"github.com/tesseras/tesseras/host/attest"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// serveCustody joins the front door to the room that keeps fragments.
func serveCustody(net front, c *custody.Service) {
	net.Handle(wire.KindReplicate, func(ctx context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		q := req.(*wire.Replicate)
		sender := custody.Sender{Key: from.Contact.Key, ID: from.ID(), Owner: from.Owner}
		ack, err := c.Replicate(ctx, sender, q, s.Body(int64(q.GetSize())))
		if err != nil {
			return err
		}
		return s.Send(ack)
	})
	net.Handle(wire.KindFetchFragment, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		size, body, err := c.Fragment(req.(*wire.FetchFragment))
		if err != nil {
			return err
		}
		defer body.Close()
		if err := s.Send(&wire.FragmentHeader{Size: uint64(size)}); err != nil {
			return err
		}
		return s.SendBody(body, size)
	})
	net.Handle(wire.KindFetchPlan, func(_ context.Context, _ quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		answer, err := c.Plan(sdk.TesseraID(req.(*wire.FetchPlan).GetTessera()))
		if err != nil {
			return err
		}
		return s.Send(answer)
	})
	net.Handle(wire.KindForget, func(ctx context.Context, _ quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		removed, err := c.Forget(ctx, req.(*wire.Forget).GetTombstone())
		if err != nil {
			return err
		}
		return s.Send(&wire.ForgetAck{Removed: uint32(removed)})
	})
}

// serveAttest joins the front door to the room that answers for the index.
func serveAttest(net front, a *attest.Service) {
	net.Handle(wire.KindAttestRequest, func(ctx context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		answer, err := a.Answer(ctx, from.Contact.Key, req.(*wire.AttestRequest))
		if err != nil {
			return err
		}
		return s.Send(answer)
	})
}

// serveAccounts lets a peer compare its books with ours.
func serveAccounts(net front, c *catalog.Catalog, self sdk.OwnerKey) {
	net.Handle(wire.KindAccountRequest, func(_ context.Context, from quicnet.Peer, s *quicnet.Stream, _ wire.Message) error {
		var a ledger.Account
		err := c.View(func(tx *catalog.Tx) (err error) {
			a, err = ledger.AccountOf(tx, self, from.Contact.Key, from.Owner)
			return err
		})
		if err != nil {
			return err
		}
		return s.Send(&wire.Account{Kept: uint64(a.Kept), Given: uint64(a.Given)})
	})
}

// serveWatch tells who asks when this node last checked a tessera, and whether it is moving it.
func serveWatch(net front, node *identity.Node, known func(sdk.TesseraID, sdk.NodeKey) wire.Check) {
	net.Handle(wire.KindWatch, func(_ context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		return s.Send(attest.Watched(node, from.Contact.Key, req.(*wire.Watch), known, time.Now()))
	})
}

// serveProofs joins the front door to the room that answers challenges.
func serveProofs(net front, p *attest.Prover) {
	net.Handle(wire.KindChallenge, func(ctx context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		answer, err := p.Prove(ctx, from.Contact.Key, req.(*wire.Challenge))
		if err != nil {
			return err
		}
		return s.Send(answer)
	})
}
