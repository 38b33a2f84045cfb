package host

import (
	"bytes"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// AuditLedger implements localapi.Maintenance, without asking anybody.
func (l *local) AuditLedger(ctx context.Context) (localapi.Audit, error) {
	a := localapi.Audit{Wrong: []localapi.WrongRow{}, Peers: []localapi.AuditedPeer{}, Unvouched: []localapi.Unvouched{}}
	err := l.catalog.View(func(tx *catalog.Tx) error {
		wrong, err := ledger.Mismatches(tx, l.id.Owner.Key())
		for _, w := range wrong {
			a.Wrong = append(a.Wrong, localapi.WrongRow{
				Owner:       w.Written.Owner,
				HereWritten: int64(w.Written.StoredForThem), HereFacts: int64(w.Facts.StoredForThem),
				ThereWritten: int64(w.Written.TheyStoreForUs), ThereFacts: int64(w.Facts.TheyStoreForUs),
			})
		}
		return err
	})
	if err == nil {
		var found []localapi.Unvouched
		a.Receipts, found, err = l.auditReceipts(ctx)
		a.Unvouched = append(a.Unvouched, found...)
	}
	a.Agree = len(a.Wrong) == 0 && len(a.Unvouched) == 0 && a.Receipts.Bad == 0
	return a, err
}

// Of an audit: how many peers are asked at once, and how long each may take.
const (
	auditLanes   = 8
	auditTimeout = 15 * time.Second
)

// AuditLedger implements localapi.Maintenance: the node's own books, then those of every peer.
// Where nobody keeps anything for the other is not worth a line.
func (n *Node) AuditLedger(ctx context.Context) (localapi.Audit, error) {
	a, err := n.local.AuditLedger(ctx)
	if err != nil {
		return a, err
	}
	partners, err := n.partners()
	if err != nil {
		return a, err
	}
	a.Peers = make([]localapi.AuditedPeer, len(partners))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(auditLanes)
	for i, p := range partners {
		g.Go(func() (err error) {
			a.Peers[i], err = n.auditPeer(gctx, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return a, err
	}
	err = n.reconcile(ctx, partners, a.Peers)
	a.Peers = slices.DeleteFunc(a.Peers, func(p localapi.AuditedPeer) bool {
		return p.WeKeep == 0 && p.TheySayWe == 0 && p.TheyKeep == 0 && p.WeSayTheyDo == 0
	})
	for _, p := range a.Peers {
		switch p.Verdict {
		case localapi.AuditUnreached:
			a.Unreached++
		case localapi.AuditLess:
			a.Agree = false
		}
	}
	return a, err
}

// partner is a node with which there is an account.
type partner struct {
	contact identity.Contact
	owner   sdk.OwnerKey
}

// partners lists the nodes that hold something of ours, and all that were met: one that counts on what
// is not kept here any more is in no book of ours. In the order of their keys.
func (n *Node) partners() ([]partner, error) {
	found := map[sdk.NodeKey]partner{}
	err := n.catalog.View(func(tx *catalog.Tx) error {
		for h, err := range tx.Holders() {
			if err != nil {
				return err
			}
			if c, ok := holders.Contact(h); ok {
				found[h.Key] = partner{n.network.Locate(c), h.Owner}
			}
		}
		return nil
	})
	for _, k := range n.dht.Peers() {
		if k.Silent == 0 {
			found[k.Contact.Key] = partner{k.Contact, k.Owner}
		}
	}
	out := make([]partner, 0, len(found))
	for _, p := range found {
		if p.owner != n.id.Owner.Key() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b partner) int { return bytes.Compare(a.contact.Key[:], b.contact.Key[:]) })
	return out, err
}

// auditPeer compares both sides' books. A peer that does not answer is a finding, not an error.
func (n *Node) auditPeer(ctx context.Context, p partner) (localapi.AuditedPeer, error) {
	out := localapi.AuditedPeer{Node: p.contact.ID(), Owner: p.owner, Verdict: localapi.AuditUnreached}
	asking, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	owner, kept, given, err := n.network.Account(asking, p.contact)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err == nil {
		out.Owner = owner
	}
	var ours ledger.Account
	viewErr := n.catalog.View(func(tx *catalog.Tx) (err error) {
		ours, err = ledger.AccountOf(tx, n.id.Owner.Key(), p.contact.Key, out.Owner)
		return err
	})
	out.WeKeep, out.WeSayTheyDo = ours.Kept, ours.Given
	if err != nil {
		out.WhyUnreached = err.Error()
		return out, viewErr
	}
	out.TheyKeep, out.TheySayWe = int64(kept), int64(given)
	switch {
	case out.TheyKeep < out.WeSayTheyDo || out.WeKeep < out.TheySayWe:
		out.Verdict = localapi.AuditLess
	case out.TheyKeep > out.WeSayTheyDo || out.WeKeep > out.TheySayWe:
		out.Verdict = localapi.AuditMore
	default:
		out.Verdict = localapi.AuditAgrees
	}
	return out, viewErr
}
