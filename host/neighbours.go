package host

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// What repair asks about the neighbours of this node, and about itself.

// Others implements repair.Network.
func (n *network) Others(ctx context.Context, t sdk.TesseraID) ([]identity.Contact, error) {
	found, err := n.Holders(ctx, t)
	return slices.DeleteFunc(found, func(c identity.Contact) bool {
		k, met := n.dht.Peer(c.Key)
		return c.Key == n.self.Key || met && k.Silent > 0
	}), err
}

// Owners implements repair.Network.
func (n *network) Owners() map[sdk.OwnerKey][]identity.Contact {
	alive := map[sdk.OwnerKey][]identity.Contact{}
	for _, k := range n.dht.Peers() {
		if k.Silent == 0 {
			alive[k.Owner] = append(alive[k.Owner], k.Contact)
		}
	}
	return alive
}

// Seen implements repair.Network.
func (n *network) Seen(key sdk.NodeKey) time.Time {
	k, _ := n.dht.Peer(key)
	return k.LastSeen
}

// Self implements repair.Network.
func (n *network) Self(t sdk.TesseraID) scatter.Candidate {
	view := n.view(dht.Known{Contact: n.here(), FreeBytes: n.spare(), FirstSeen: n.now()}, t, 0)
	return scatter.Candidate{Peer: n.here(), View: view}
}

// Subnet implements repair.Network.
func (n *network) Subnet() string {
	if addr := n.here().Addr; addr.IsValid() {
		return identity.Subnet(addr.Addr()).String()
	}
	return ""
}

// challenge asks a peer that said it holds a fragment to prove it.
func (n *network) challenge(ctx context.Context, key sdk.NodeKey, c proof.Claim) error {
	known, met := n.dht.Peer(key)
	if !met {
		return errors.New("the peer was not met")
	}
	budget := proof.Budget(known.RoundTrip, c.Size, false)
	ctx, cancel := context.WithTimeout(ctx, 2*budget)
	defer cancel()
	var nonce [32]byte
	rand.Read(nonce[:])
	_, err := n.Prove(ctx, known.Contact, c, nonce, false)
	return err
}
