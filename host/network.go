package host

import (
	"context"
	"errors"
	"io"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/institution"
	"github.com/tesseras/tesseras/host/ledger"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// network is the peers as the services want to see them: what can be asked of one, and which there
// are. What this node holds itself it serves to itself, without a stream.
type network struct {
	*peer.Client
	self         identity.Contact // without an address: nobody dials himself
	dht          *dht.DHT
	catalog      *catalog.Catalog
	book         *holders.Book
	custody      *custody.Service
	institutions *institution.Register
	operator     func(sdk.NodeKey, sdk.OwnerKey) string
	now          func() time.Time
	here         func() identity.Contact // this node, where others can dial it
	spare        func() uint64           // bytes it would take
}

var (
	_ scatter.Network   = (*network)(nil)
	_ repair.Network    = (*network)(nil)
	_ restore.Network   = (*network)(nil)
	_ publish.Forgetter = (*network)(nil)
)

// Candidates lists the peers closest to a tessera's id and all others that were met, as the policy
// sees them.
func (n *network) Candidates(ctx context.Context, t sdk.TesseraID) ([]scatter.Candidate, error) {
	n.dht.Joined(ctx)
	known := map[sdk.NodeKey]dht.Known{}
	for _, k := range append(n.dht.Peers(), n.dht.Lookup(ctx, dht.ID(t))...) {
		known[k.Contact.Key] = k
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []scatter.Candidate
	err := n.catalog.View(func(tx *catalog.Tx) error {
		for _, k := range known {
			if k.Contact.Key == n.self.Key || k.Silent > 0 {
				continue
			}
			row, err := tx.Ledger(k.Owner)
			if err != nil {
				return err
			}
			audit, err := tx.Audit(k.Contact.Key)
			if err != nil {
				return err
			}
			failing := holders.Failing(audit)
			if failing {
				has, err := holdsAny(tx, k.Contact.Key)
				if err != nil {
					return err
				}
				if has {
					continue // until it proves what it has, or owns up to having nothing
				}
			}
			view := n.view(k, t, ledger.Balance(row))
			if audit.Asked > 0 {
				view.ProofsAsked = uint32(min(audit.Asked, math.MaxUint32))
				view.ProofSuccessPpm = uint32(audit.Proven * sdk.PPM / audit.Asked)
			}
			out = append(out, scatter.Candidate{Peer: k.Contact, View: view, Last: failing})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b scatter.Candidate) int { return nearer(a.View, b.View, t) })
	return out[:min(len(out), sdk.MaxCandidates)], err
}

// holdsAny tells whether a node is known to hold anything that it could be asked to prove.
func holdsAny(tx *catalog.Tx, k sdk.NodeKey) (bool, error) {
	for _, err := range tx.HeldBy(k) {
		return err == nil, err
	}
	return false, nil
}

func (n *network) view(k dht.Known, t sdk.TesseraID, balance int64) *sdk.Candidate {
	id := k.ID()
	_, institutional := n.institutions.Of(k.Contact.Key)
	return &sdk.Candidate{
		Operator:        n.operator(k.Contact.Key, k.Owner),
		Institutional:   institutional,
		Id:              id[:],
		Subnet:          scatter.SubnetBytes(k.Contact.Addr.Addr()),
		Nearness:        uint32(sharedBits(id[:], t[:])),
		FreeBytes:       k.FreeBytes,
		BalanceBytes:    balance,
		ProofSuccessPpm: sdk.PPM,
		UptimePpm:       k.UptimePPM(),
		RoundTripMs:     uint32(k.RoundTrip.Milliseconds()),
		AgeS:            uint64(max(n.now().Sub(k.FirstSeen), 0) / time.Second),
	}
}

// sharedBits counts the leading bits two ids share.
func sharedBits(a, b []byte) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 8 * len(a)
}

// nearer compares distances to a tessera by XOR.
func nearer(a, b *sdk.Candidate, t sdk.TesseraID) int {
	for i := range t {
		if x, y := a.Id[i]^t[i], b.Id[i]^t[i]; x != y {
			return int(x) - int(y)
		}
	}
	return 0
}

// fewHolders is how many holders are so few that others are worth asking.
const fewHolders = 20

// Holders names who may hold fragments: those whose signed pointers the DHT knows, those this node
// remembers, this node itself. Where these are few, the closest peers are worth asking: pointers are
// a hint, and a holder that has just come back may not have told anybody. Those this node knows best come
// first, then those that many tell of, equals in an order that nobody can choose a key for.
func (n *network) Holders(ctx context.Context, t sdk.TesseraID) ([]identity.Contact, error) {
	n.dht.Joined(ctx)
	pointers, near := n.ask(ctx, t)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	rows, err := n.book.Of(t)
	if err != nil {
		return nil, err
	}
	out := []identity.Contact{n.self}
	trust := map[sdk.NodeKey]int{n.self.Key: ourselves}
	add := func(c identity.Contact) {
		if _, there := trust[c.Key]; !there {
			trust[c.Key] = n.trust(c.Key)
			out = append(out, c)
		}
	}
	for _, p := range pointers {
		add(p.Holder)
	}
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, h := range rows {
		if c, ok := holders.Contact(h); ok {
			add(n.Locate(c))
			if h.SilentSince.IsZero() {
				trust[c.Key] = max(trust[c.Key], heldBefore)
			}
		}
	}
	if len(out) <= fewHolders {
		rand.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
		for _, k := range near {
			add(k.Contact)
		}
	}
	slices.SortStableFunc(out, func(a, b identity.Contact) int { return trust[b.Key] - trust[a.Key] })
	return out, nil
}

// trust is how well this node knows another of which it remembers no fragment.
func (n *network) trust(key sdk.NodeKey) int {
	if k, met := n.dht.Peer(key); met && k.Silent == 0 {
		return metBefore
	}
	return 0
}

// nearWait is how long the peers closest to a tessera are still looked for once holders of it are known.
const nearWait = 500 * time.Millisecond

// ask finds the signed pointers to a tessera and the peers closest to its id, as far as there is time for
// these.
func (n *network) ask(ctx context.Context, t sdk.TesseraID) (pointers []wire.Pointer, near []dht.Known) {
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { near = n.dht.Lookup(looking, dht.ID(t)) })
	pointers, err := n.dht.FindHolders(ctx, t)
	switch {
	case err != nil: // ctx has ended
	case len(pointers) >= fewHolders:
		stop()
	case len(pointers) > 0:
		defer time.AfterFunc(nearWait, stop).Stop()
	}
	both.Wait()
	return pointers, near
}

// How well this node knows a holder; 0 is only by what others say.
const (
	metBefore = 1 + iota
	heldBefore
	ourselves
)

// Locate gives a contact the address at which its node was met last: nodes move, and what was written
// down about them does not.
func (n *network) Locate(c identity.Contact) identity.Contact {
	if k, met := n.dht.Peer(c.Key); met && k.Contact.Addr.IsValid() {
		c.Addr = k.Contact.Addr
	}
	return c
}

// RoundTrip implements repair.Network.
func (n *network) RoundTrip(c identity.Contact) time.Duration {
	k, _ := n.dht.Peer(c.Key)
	return k.RoundTrip
}

// Forget implements publish.Forgetter.
func (n *network) Forget(ctx context.Context, to identity.Contact, tombstone []byte) (removed int, err error) {
	return n.Client.Forget(ctx, n.Locate(to), tombstone)
}

// Plan implements restore.Network.
func (n *network) Plan(ctx context.Context, from identity.Contact, t sdk.TesseraID) (*fragment.FragmentPlan, error) {
	if from.Key == n.self.Key {
		return nil, restore.ErrSelf
	}
	plan, err := n.Client.Plan(ctx, from, t)
	switch {
	case errors.Is(err, peer.ErrDeleted):
		return nil, restore.ErrDeleted
	case err != nil && wire.CodeOf(err) == wire.Code_NOT_FOUND:
		return nil, restore.ErrNoPlan
	}
	return plan, err
}

// Held implements restore.Network.
func (n *network) Held(ctx context.Context, from identity.Contact, plan *fragment.FragmentPlan) (indices []int, err error) {
	if from.Key != n.self.Key {
		return n.Client.Held(ctx, from, plan)
	}
	err = n.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.Fragments(plan.Tessera) {
			if err != nil {
				return err
			}
			if _, err := tx.Damage(f.Hash); errors.Is(err, catalog.ErrNotFound) {
				indices = append(indices, f.Index)
			}
		}
		return nil
	})
	return indices, err
}

// Fragment implements restore.Network.
func (n *network) Fragment(ctx context.Context, from identity.Contact, id fragment.FragmentID, size int64, w io.Writer) error {
	if from.Key != n.self.Key {
		return n.Client.Fragment(ctx, from, id, size, w)
	}
	_, body, err := n.custody.Fragment(&wire.FetchFragment{Tessera: id.Tessera[:], Index: uint32(id.Index), Checksum: id.Checksum[:]})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}
