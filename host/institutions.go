package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tesseras/tesseras/host/institution"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Option changes what a node takes from the world around it.
type Option func(*Node)

// WithResolver makes the node look up the records of institutions elsewhere than in the system's DNS.
func WithResolver(r institution.Resolver) Option { return func(n *Node) { n.resolver = r } }

// WithSocket makes the node open its socket elsewhere than in the kernel.
func WithSocket(bind func(listen string) (net.PacketConn, error)) Option {
	return func(n *Node) { n.bind = bind }
}

// claim is what this node tells its peers to be; nil = a person's node.
func (n *Node) claim() *wire.Institution {
	c := n.cfg.Institutional
	if c.Domain == "" {
		return nil
	}
	return &wire.Institution{Domain: c.Domain, Operator: c.Operator, PledgeBytes: uint64(c.Pledge)}
}

// heard takes note of what a peer claims to be.
func (n *Node) heard(p quicnet.Peer) {
	n.institutions.Claims(institution.Node{Key: p.Contact.Key, ID: p.ID(), Owner: p.Owner}, institution.Claim{
		Domain: p.Institution.GetDomain(), Operator: p.Institution.GetOperator(), Pledge: p.Institution.GetPledgeBytes(),
	})
}

// operator is who runs a node, as far as this node has verified it: an institution, else the owner
// whose key signed the node's.
func (n *Node) operator(key sdk.NodeKey, owner sdk.OwnerKey) string {
	if v, ok := n.institutions.Of(key); ok {
		return v.Operator
	}
	return owner.String()
}

// ownClaimTime bounds the look at this node's own record.
const ownClaimTime = 30 * time.Second

// checkOwnClaim tells the operator whether peers will believe this node's claim, and whether it can
// keep its pledge. Nothing depends on the answer: peers look for themselves.
func (n *Node) checkOwnClaim(ctx context.Context) {
	c, id := n.cfg.Institutional, n.id.Node.ID()
	if c.Domain == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownClaimTime)
	defer cancel()
	log := n.log.With("domain", c.Domain)
	pledged, err := institution.Lookup(ctx, n.resolver, c.Domain, id)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, institution.ErrNotVouched):
		log.Warn("peers take this node for a normal one: its domain does not vouch for it",
			"hint", fmt.Sprintf("publish a TXT record at %s: %q", institution.RecordName(c.Domain), institution.Record(id, uint64(c.Pledge))))
	case err != nil:
		log.Warn("the domain of this node could not be asked; peers may take it for a normal one", "err", err)
	case pledged != uint64(c.Pledge):
		log.Warn("the domain's record pledges another size than the configuration", "record", pledged, "configured", uint64(c.Pledge))
	default:
		log.Info("the domain vouches for this node", "pledge", pledged)
	}
	n.checkPledge()
}

// checkPledge warns of a pledge that the disk cannot keep.
func (n *Node) checkPledge() {
	s, err := n.local.figures()
	if err != nil {
		return
	}
	room := uint64(s.BytesHeld) + n.spare()
	if pledge := uint64(n.cfg.Institutional.Pledge); pledge > room {
		n.log.Warn("the disk cannot hold what this node pledges", "pledge", pledge, "held_and_free", room)
	}
}
