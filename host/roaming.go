package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// roaming asks peers wherever they are now: one that is not where it was is looked for by its id.
type roaming struct {
	*quicnet.Net
	dht *dht.DHT
	now func() time.Time

	mu     sync.Mutex // guards below
	sought map[sdk.NodeKey]time.Time
}

var _ peer.Network = (*roaming)(nil)

// seekAgain is how long a peer that was looked for is not looked for again: most that do not answer are
// off, and not elsewhere.
const seekAgain = time.Minute

// maxSought bounds how many searches are remembered.
const maxSought = 1024

func newRoaming(net *quicnet.Net, d *dht.DHT, now func() time.Time) *roaming {
	return &roaming{Net: net, dht: d, now: now, sought: map[sdk.NodeKey]time.Time{}}
}

// Open implements peer.Network.
func (r *roaming) Open(ctx context.Context, to identity.Contact) (*quicnet.Stream, error) {
	s, err := r.Net.Open(ctx, to)
	if where, found := r.elsewhere(ctx, to, err); found {
		return r.Net.Open(ctx, where)
	}
	return s, err
}

// Call implements peer.Network.
func (r *roaming) Call(ctx context.Context, to identity.Contact, req wire.Message) (wire.Message, error) {
	m, err := r.Net.Call(ctx, to, req)
	if where, found := r.elsewhere(ctx, to, err); found {
		return r.Net.Call(ctx, where, req)
	}
	return m, err
}

// elsewhere looks for a peer that could not be reached.
func (r *roaming) elsewhere(ctx context.Context, to identity.Contact, err error) (identity.Contact, bool) {
	lost := errors.Is(err, quicnet.ErrUnreachable) || errors.Is(err, quicnet.ErrWrongPeer)
	if !lost || to.Key.IsZero() || ctx.Err() != nil {
		return identity.Contact{}, false
	}
	if k, met := r.dht.Peer(to.Key); met && k.Contact.Addr != to.Addr && k.Silent == 0 {
		return k.Contact, true
	}
	if !r.worthSeeking(to.Key) {
		return identity.Contact{}, false
	}
	for _, k := range r.dht.Lookup(ctx, dht.ID(to.ID())) {
		if k.Contact.Key == to.Key && k.Contact.Addr != to.Addr {
			return k.Contact, true
		}
	}
	return identity.Contact{}, false
}

func (r *roaming) worthSeeking(key sdk.NodeKey) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.sought[key]) < seekAgain {
		return false
	}
	if len(r.sought) >= maxSought {
		clear(r.sought)
	}
	r.sought[key] = now
	return true
}
