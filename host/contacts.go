package host

import (
	"context"
	"math"
	"net/netip"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// contacts keeps the peers a node knows in its catalog, so that a restart needs no bootstrap.
type contacts struct{ catalog *catalog.Catalog }

var _ dht.Memory = contacts{}

// Load implements dht.Memory.
func (c contacts) Load(context.Context) (known []dht.Known, err error) {
	err = c.catalog.View(func(tx *catalog.Tx) error {
		for p, err := range tx.Peers() {
			if err != nil {
				return err
			}
			addr, err := netip.ParseAddrPort(p.Addr)
			if err != nil {
				continue // a row that names no address is of no use
			}
			known = append(known, dht.Known{
				Contact: identity.Contact{Key: p.Key, Nonce: p.Nonce, Addr: addr},
				Owner:   p.Owner, FirstSeen: p.FirstSeen, LastSeen: p.LastSeen,
				Asked: p.Asked, Answered: p.Answered, Silent: int(min(p.Silent, math.MaxInt32)),
			})
		}
		return nil
	})
	return known, err
}

// Save implements dht.Memory.
func (c contacts) Save(_ context.Context, known []dht.Known) error {
	return c.catalog.Update(func(tx *catalog.Tx) error {
		now := map[sdk.NodeKey]bool{}
		for _, k := range known {
			now[k.Contact.Key] = true
			err := tx.PutPeer(catalog.Peer{
				Key: k.Contact.Key, Nonce: k.Contact.Nonce, Addr: k.Contact.Addr.String(),
				Owner: k.Owner, FirstSeen: k.FirstSeen, LastSeen: k.LastSeen,
				Asked: k.Asked, Answered: k.Answered, Silent: uint64(max(k.Silent, 0)),
			})
			if err != nil {
				return err
			}
		}
		var gone []sdk.NodeKey
		for p, err := range tx.Peers() {
			if err != nil {
				return err
			}
			if !now[p.Key] {
				gone = append(gone, p.Key)
			}
		}
		for _, key := range gone {
			if err := tx.DropPeer(key); err != nil {
				return err
			}
		}
		return nil
	})
}
