package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// releaseTimeout is how long telling one node of one release may take.
const releaseTimeout = 5 * time.Second

// releaser is a keeper that tells the owner's nodes of what it gave up, so that their books follow.
type releaser struct {
	repair.Keeper
	n *Node
}

// Yield implements repair.Keeper. Who cannot be told now is told when the books are compared, or asks himself.
func (r releaser) Yield(ctx context.Context, t sdk.TesseraID, index int) error {
	owner, err := r.n.planOwner(t)
	if err != nil {
		return err
	}
	if err := r.Keeper.Yield(ctx, t, index); err != nil {
		return err
	}
	if owner == r.n.id.Owner.Key() {
		return nil
	}
	for _, c := range r.n.network.Owners()[owner] {
		if _, err := r.n.tellReleased(ctx, c, catalog.FragmentKey{Tessera: t, Index: index}); err != nil {
			r.n.log.Info("an owner's node was not told of a fragment that was given up", "peer", c.ID().Short(), "err", err)
		}
	}
	return nil
}

func (n *Node) planOwner(t sdk.TesseraID) (owner sdk.OwnerKey, err error) {
	err = n.catalog.View(func(tx *catalog.Tx) error {
		plan, err := tx.Plan(t)
		owner = plan.Owner
		return err
	})
	return owner, err
}

func (n *Node) tellReleased(ctx context.Context, to identity.Contact, k catalog.FragmentKey) (noted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	return n.network.Released(ctx, to, k.Tessera, k.Index)
}

// tellReleases tells a node once more of all that was given up of its owner's, the newest first, until it
// does not answer.
func (n *Node) tellReleases(ctx context.Context, p partner) error {
	given, err := n.releasedOf(p.owner)
	if err != nil {
		return err
	}
	telling, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	for _, k := range slices.Backward(given) {
		if _, err := n.tellReleased(telling, p.contact, k); err != nil {
			n.log.Info("an owner's node was not told of what was given up", "peer", p.contact.ID().Short(), "err", err)
			return ctx.Err()
		}
	}
	return nil
}

// releasedOf lists the fragments of an owner that this node gave a receipt for, gave up and does not keep again,
// oldest first.
func (n *Node) releasedOf(owner sdk.OwnerKey) (out []catalog.FragmentKey, err error) {
	of := map[catalog.FragmentKey]bool{}
	for record, err := range n.journal.Records() {
		if err != nil {
			continue // a damaged record is found and told of elsewhere
		}
		switch record.Kind {
		case holders.RecordGiven:
			if r, err := holders.ParseReceipt(record.Payload); err == nil && r.Owner == owner {
				of[catalog.FragmentKey{Tessera: r.Tessera, Index: int(r.Index)}] = true
			}
		case holders.RecordReleased:
			if t, index, err := holders.ParseReleased(record.Payload); err == nil && of[catalog.FragmentKey{Tessera: t, Index: index}] {
				out = append(out, catalog.FragmentKey{Tessera: t, Index: index})
			}
		}
	}
	err = n.catalog.View(func(tx *catalog.Tx) (err error) {
		out = slices.DeleteFunc(out, func(k catalog.FragmentKey) bool {
			_, kept := tx.Fragment(k.Tessera, k.Index)
			if kept != nil && !errors.Is(kept, catalog.ErrNotFound) {
				err = errors.Join(err, kept)
			}
			return kept == nil
		})
		return err
	})
	return out, err
}

// serveReleases takes a holder's word that it gave a fragment up, which is only to its disadvantage.
func serveReleases(net front, n *Node) {
	net.Handle(wire.KindReleased, func(_ context.Context, from quicnet.Peer, s *quicnet.Stream, req wire.Message) error {
		q := req.(*wire.Released)
		noted, err := n.noteReleased(from.Contact.Key, sdk.TesseraID(q.GetTessera()), int(q.GetIndex()))
		if err != nil {
			return err
		}
		return s.Send(&wire.ReleasedAck{Noted: noted})
	})
}

// noteReleased ends what a holder is counted on for, unless nobody else is known to have that fragment: then the
// books stay as they are until the holder is asked.
func (n *Node) noteReleased(holder sdk.NodeKey, t sdk.TesseraID, index int) (noted bool, err error) {
	rows, err := n.book.Of(t)
	if err != nil {
		return false, err
	}
	left := holders.Statement{Tessera: t}
	for _, h := range rows {
		for _, f := range h.Fragments {
			if h.Key == holder && f.Index != index {
				left.Fragments = append(left.Fragments, f.Index)
			}
		}
	}
	if lost, err := n.missed(holder, left); err != nil || lost {
		return false, err
	}
	return true, n.book.Released(t, holder, index)
}
