package scatter

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// Network is what distributing needs of the peers.
type Network interface {
	// Candidates lists the peers that could take fragments of a tessera.
	Candidates(ctx context.Context, t sdk.TesseraID) ([]Candidate, error)
	// Push gives one fragment to one peer and returns the peer's verified receipt for it.
	Push(ctx context.Context, to identity.Contact, e fragment.FragmentEnvelope, why wire.Purpose) (wire.Receipt, error)
}

// Config is what the operator chose.
type Config struct {
	Concurrent int // transfers at a time
	Caps       *sdk.Caps
}

// Distributor gives fragments of a plan to peers and keeps their receipts.
type Distributor struct {
	network Network
	placer  Placer
	book    *holders.Book
	config  Config
}

// NewDistributor returns a Distributor.
func NewDistributor(n Network, p Placer, b *holders.Book, c Config) *Distributor {
	return &Distributor{n, p, b, c}
}

// Order is what to distribute.
type Order struct {
	Plan    *fragment.FragmentPlan
	Missing []health.Missing
	// Newcomers, when not 0, is how many peers shall take part that hold nothing of the tessera yet; the
	// others are left out then.
	Newcomers int
	Intent    sdk.Intent
	Purpose   wire.Purpose
	// Prepare makes the fragments ready to be opened. It is called once, when somebody was found who
	// may take one; nil where they are ready.
	Prepare func(ctx context.Context) error
	// Open gives the bytes of a fragment; it is called from several goroutines.
	Open func(index int) (io.ReadCloser, error)
	// Holds, when not 0, is 1 + the index of a fragment that this node holds and can prove.
	Holds int
	// Self, when not nil, lets this node itself take part, as a holder like others: Keep then takes what
	// falls to it. SelfHolds is what it holds already.
	Self      *Candidate
	SelfHolds []int
	Keep      func(ctx context.Context, index int, body io.Reader) error
	// Placed is told of each fragment whose receipt is safe, from several goroutines; may be nil.
	Placed func(Placed)
	// Done is told of each fragment that will not be opened any more, from several goroutines; may be nil.
	Done func(index int)
}

// Distribute finds holders for what is missing. Who lately lost a fragment of the tessera gets one only where nobody
// else takes it, or where the others are fewer than the peers that a tessera shall be on. The result is true also
// beside an error.
func (d *Distributor) Distribute(ctx context.Context, o Order) (Result, error) {
	rows, err := d.book.Of(o.Plan.Tessera)
	if err != nil {
		return Result{Left: o.Missing}, err
	}
	candidates, err := d.network.Candidates(ctx, o.Plan.Tessera)
	if err != nil {
		return Result{Left: o.Missing}, fmt.Errorf("find peers: %w", err)
	}
	out := map[sdk.NodeKey]bool{} // of the question
	for _, h := range rows {
		out[h.Key] = !h.SilentSince.IsZero() || o.Newcomers > 0 && len(h.Fragments) > 0
	}
	job := Job{
		Tessera: o.Plan.Tessera, Tier: o.Plan.Tier, Data: o.Plan.Data, Parity: o.Plan.Parity,
		ShardSize: o.Plan.ShardSize(), Missing: o.Missing, Intent: o.Intent, Caps: d.config.Caps,
		AtMost: o.Newcomers, Prepare: o.Prepare, Done: o.Done,
	}
	lost := map[sdk.NodeKey]bool{}
	for _, l := range d.book.Lost(o.Plan.Tessera) {
		lost[l.Key] = true
	}
	if len(lost) > 0 {
		if few, err := d.tooFew(o, lost, candidates); err != nil {
			return Result{Left: o.Missing}, err
		} else if few {
			clear(lost)
		}
	}
	views := map[sdk.NodeKey]*sdk.Candidate{}
	for _, c := range candidates {
		views[c.Peer.Key] = c.View
		if !out[c.Peer.Key] {
			c.Last = c.Last || lost[c.Peer.Key]
			job.Candidates = append(job.Candidates, c)
		}
	}
	if o.Self != nil {
		job.Holdings = append(job.Holdings, selfHolding(o))
		if o.Newcomers == 0 {
			job.Candidates = append(job.Candidates, *o.Self)
		}
	}
	come := len(job.Candidates)
	if first := countFirst(job.Candidates); first > 0 {
		come = first
	}
	if take := min(o.Newcomers, come); take > 0 { // their share, or they would be the fullest next
		job.Missing = health.ForNewcomers(o.Missing, take, o.Newcomers)
	}
	for _, h := range rows {
		if h.SilentSince.IsZero() && len(h.Fragments) > 0 {
			job.Holdings = append(job.Holdings, holding(h, views[h.Key]))
		}
	}
	job.Send = func(ctx context.Context, to identity.Contact, index int, moved func(int)) error {
		if err := d.send(ctx, to, index, o, moved); err != nil {
			return err
		}
		if o.Placed != nil {
			o.Placed(Placed{index, to})
		}
		return nil
	}
	return Run(ctx, d.placer, d.config.Concurrent, job)
}

// tooFew tells whether a tessera would be on fewer peers than it shall be without those who lost some of it: what they
// lost would go to peers that have enough of it.
func (d *Distributor) tooFew(o Order, lost map[sdk.NodeKey]bool, candidates []Candidate) (bool, error) {
	records, err := d.book.Records(o.Plan.Tessera)
	if err != nil {
		return false, err
	}
	peers := map[string]bool{}
	for _, h := range d.book.Standing(records) {
		if len(h.Held) > 0 {
			peers[h.Peer] = true
		}
	}
	for _, c := range candidates {
		if !lost[c.Peer.Key] && !c.Last {
			peers[c.Peer.Key.String()] = true
		}
	}
	if o.Self != nil {
		peers[o.Self.Peer.Key.String()] = true
	}
	return len(peers) < int(d.config.Caps.GetReplicas()), nil
}

// countFirst counts those that are not the last to take part.
func countFirst(all []Candidate) (n int) {
	for _, c := range all {
		if !c.Last {
			n++
		}
	}
	return n
}

func (d *Distributor) send(ctx context.Context, to identity.Contact, index int, o Order, moved func(int)) error {
	opened, err := o.Open(index)
	if err != nil {
		return err
	}
	defer opened.Close()
	body := counted{opened, moved}
	if o.Self != nil && to.Key == o.Self.Peer.Key {
		return o.Keep(ctx, index, body)
	}
	envelope := o.Plan.Envelope(index, body)
	envelope.Holds = o.Holds
	receipt, err := d.network.Push(ctx, to, envelope, o.Purpose)
	if err != nil {
		return err
	}
	return d.book.Acknowledge(to, receipt)
}

// counted tells how many bytes were read.
type counted struct {
	io.Reader
	moved func(bytes int)
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.moved(n)
	return n, err
}

// selfHolding is what the policy sees of what this node holds itself.
func selfHolding(o Order) *sdk.Holding {
	out := &sdk.Holding{Id: o.Self.View.Id, Subnet: o.Self.View.Subnet, Operator: o.Self.View.Operator}
	for _, i := range o.SelfHolds {
		out.Fragments = append(out.Fragments, uint32(i))
	}
	return out
}

// holding is what the policy sees of a holder; view is nil for one that is no candidate now.
func holding(h catalog.Holder, view *sdk.Candidate) *sdk.Holding {
	id := identity.NodeIDOf(h.Key, h.Nonce)
	out := &sdk.Holding{Id: id[:], Operator: h.Owner.String()}
	if c, ok := holders.Contact(h); ok {
		out.Subnet = SubnetBytes(c.Addr.Addr())
	}
	if view != nil {
		out.Subnet, out.Operator, out.Institutional = view.Subnet, view.Operator, view.Institutional
	}
	for _, f := range h.Fragments {
		out.Fragments = append(out.Fragments, uint32(f.Index))
	}
	return out
}

// SubnetBytes is an address's subnet as policies see it: 3 bytes of a /24, 6 bytes of a /48.
func SubnetBytes(addr netip.Addr) []byte {
	prefix := identity.Subnet(addr)
	return prefix.Addr().AsSlice()[:prefix.Bits()/8]
}
