package host

import (
	"context"
	"slices"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/sdk"
)

// reconcile asks those once more what they hold whose books say something else than ours: since the last
// round a holder may have given up what another has too. First those who keep more, among whom that other
// may be. What is only told is not proven: it counts for the books, not for health.
func (n *Node) reconcile(ctx context.Context, partners []partner, peers []localapi.AuditedPeer) error {
	more := func(p localapi.AuditedPeer) bool { return p.TheyKeep > p.WeSayTheyDo }
	less := func(p localapi.AuditedPeer) bool { return p.TheyKeep < p.WeSayTheyDo }
	for _, differs := range []func(localapi.AuditedPeer) bool{more, less} {
		for i := range peers {
			if peers[i].Verdict == localapi.AuditUnreached || !differs(peers[i]) {
				continue
			}
			if err := n.hearAgain(ctx, partners[i]); err != nil {
				return err
			}
			var err error
			if peers[i], err = n.auditPeer(ctx, partners[i]); err != nil {
				return err
			}
		}
	}
	return n.reconcileReleases(ctx, partners, peers)
}

// reconcileReleases tells those of what was given up here who still count on it: perhaps they could not be told
// before.
func (n *Node) reconcileReleases(ctx context.Context, partners []partner, peers []localapi.AuditedPeer) error {
	for i := range peers {
		if peers[i].Verdict == localapi.AuditUnreached || peers[i].WeKeep >= peers[i].TheySayWe {
			continue
		}
		if err := n.tellReleases(ctx, partners[i]); err != nil {
			return err
		}
		var err error
		if peers[i], err = n.auditPeer(ctx, partners[i]); err != nil {
			return err
		}
	}
	return nil
}

// hearAgain takes what a holder says it holds now into our books, unless something is gone with it that
// nobody else holds: then our books stay, and stand against its own.
func (n *Node) hearAgain(ctx context.Context, p partner) error {
	asking, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	owner, said, err := n.repairer.Hear(asking, p.contact)
	if err != nil {
		n.log.Info("a holder did not say once more what it holds", "peer", p.contact.ID().Short(), "err", err)
		return ctx.Err()
	}
	for _, s := range said {
		lost, err := n.missed(p.contact.Key, s)
		if err != nil || lost {
			return err
		}
	}
	return n.book.Attested(p.contact, owner, said)
}

// missed tells whether a holder no longer names a fragment of which nobody else is known to hold a copy.
func (n *Node) missed(holder sdk.NodeKey, s holders.Statement) (bool, error) {
	rows, err := n.book.Of(s.Tessera)
	if err != nil {
		return false, err
	}
	elsewhere := map[int]bool{}
	for _, h := range rows {
		for _, f := range h.Fragments {
			if h.Key != holder && h.SilentSince.IsZero() && f.Failed.IsZero() {
				elsewhere[f.Index] = true
			}
		}
	}
	at := slices.IndexFunc(rows, func(h catalog.Holder) bool { return h.Key == holder })
	if at < 0 {
		return false, nil
	}
	return slices.ContainsFunc(rows[at].Fragments, func(f catalog.HeldFragment) bool {
		return !elsewhere[f.Index] && !slices.Contains(s.Fragments, f.Index)
	}), nil
}
