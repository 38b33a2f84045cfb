package repair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/ledger"
	speaker "github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// colony is a network of holders without an owner, in one process and in the time of the model: the real
// repair, books, placement and proofs, over a network that is a function call.
type colony struct {
	t       *testing.T
	clock   time.Time
	every   time.Duration // from one round to the next
	members []*settler
	plan    *fragment.FragmentPlan
	shards  [][]byte
	engine  *policy.Engine
	apart   func(a, b *settler) bool // whether two cannot reach each other
	met     time.Time                // when everybody was met last; zero is never
	moved   int                      // shards that repairs fetched and stored
}

// settler is one node of the colony.
type settler struct {
	*repair.Service
	c       *colony
	contact identity.Contact
	owner   sdk.OwnerKey
	catalog *catalog.Catalog
	book    *holders.Book
	store   map[int][]byte
	turns   *scatter.Turns
	dead    bool
	broken  bool // it cannot repair
	full    bool // it takes nothing from others

	meanwhile func()                 // happens once, while it gathers shards to repair
	during    atomic.Pointer[during] // happens once, while it makes up its mind
}

// during is what happens at a moment of a round.
type during struct {
	moment moment
	with   sdk.NodeKey // whom it deals with then
	do     func()
}

// moment is one of those between which others may act.
type moment int

const (
	never    moment = iota
	looked          // it knows what is held, and not yet who repairs
	turned          // it has the turn, and not asked yet who repairs
	asking          // who repairs
	answered        // that was, and not heard yet
	gathers         // it has begun to repair
)

func (m moment) String() string {
	return [...]string{"never", "looked", "taken the turn", "asked", "been answered", "begun"}[m]
}

// happens does what is to happen while a settler deals with somebody.
func (m *settler) happens(at moment, with sdk.NodeKey) {
	if d := m.during.Load(); d != nil && d.moment == at && d.with == with && m.during.CompareAndSwap(d, nil) {
		d.do()
	}
}

const colonyInterval = 24 * time.Hour

func newColony(t *testing.T, n int) *colony {
	t.Helper()
	return newColonyEvery(t, n, colonyInterval)
}

// newColonyEvery is a colony whose rounds are so far apart.
func newColonyEvery(t *testing.T, n int, every time.Duration) *colony {
	t.Helper()
	c := &colony{t: t, every: every}
	c.publish()
	c.begin(n)
	return c
}

// again is a new colony about the same tessera, as it was at the beginning.
func (c *colony) again() *colony {
	c.t.Helper()
	d := &colony{t: c.t, every: c.every, plan: c.plan, shards: c.shards}
	d.begin(len(c.members))
	return d
}

// begin lets so many settle and gives them the shards, by turns.
func (c *colony) begin(n int) {
	c.t.Helper()
	c.clock, c.apart = time.Unix(2_000_000_000, 0), func(a, b *settler) bool { return false }
	c.engine = policy.New(policy.Deps{}, policy.Config{})
	c.t.Cleanup(func() { _ = c.engine.Close() })
	for i := range n {
		c.settle(i)
	}
	for i := range c.shards {
		m := c.members[i%n]
		if err := m.keep(i, c.shards[i]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// publish makes a tessera of 16+8.
func (c *colony) publish() {
	c.t.Helper()
	owner, err := identity.Generate(0)
	if err != nil {
		c.t.Fatal(err)
	}
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte{1}), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
	m, err := tessera.Seal(list, "t", time.Unix(2, 0).UTC(), owner.Owner)
	if err != nil {
		c.t.Fatal(err)
	}
	content := make([]byte, 40_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	params := fragment.Params{Tier: fragment.Medium, Data: 16, Parity: 8, Chunk: 512, Packed: int64(len(content)), Copies: 1}
	out := make(memory, params.Total())
	hashes, err := fragment.Encode(c.t.Context(), params, bytes.NewReader(content), out)
	if err == nil {
		c.plan, err = fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature)
	}
	if err == nil {
		err = c.plan.Sign(owner.Owner)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range out {
		c.shards = append(c.shards, out[i].Bytes())
	}
}

func (c *colony) settle(i int) {
	c.t.Helper()
	m := &settler{c: c, contact: identity.Contact{
		Key: sdk.NodeKey{byte(i + 1), 9}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), 4433),
	}}
	m.begins()
	c.members = append(c.members, m)
}

// begins gives a settler an empty disk.
func (m *settler) begins() {
	c := m.c
	books, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = books.Close() })
	m.catalog, m.store, m.owner = books, map[int][]byte{}, sdk.OwnerKey(m.contact.Key)
	now := func() time.Time { return c.clock }
	first, period := holders.Periods(c.every, 0)
	m.book = holders.New(books, nothing{}, m.owner, holders.Config{Replicas: 7, First: first, Period: period, Proofs: true}, now)
	m.starts()
	err = books.Update(func(tx *catalog.Tx) error {
		return tx.PutPlan(catalog.PlanRow{
			Tessera: c.plan.Tessera, Owner: c.plan.Owner(), Tier: int(c.plan.Tier), Data: 16, Parity: 8, Copies: 1, ShardSize: c.plan.ShardSize(),
		})
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// loses is that a settler's disk is replaced by an empty one. It comes back as somebody else.
func (m *settler) loses() {
	m.contact.Key[2]++
	m.dead = false
	m.begins()
}

// spoils damages one of a settler's shards on the disk. It does not notice.
func (m *settler) spoils() {
	index := slices.Min(slices.Collect(maps.Keys(m.store)))
	b := bytes.Clone(m.store[index])
	b[len(b)/2] ^= 1
	m.store[index] = b
}

// misses deletes one of a settler's shards on the disk. It notices, and owns up to it.
func (m *settler) misses(index int) {
	m.c.t.Helper()
	delete(m.store, index)
	err := m.catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutDamage(catalog.Damage{Hash: m.c.plan.Fragments[index], Found: m.c.clock, Lost: true})
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
}

// whole tells whether a settler has the very bytes of a shard.
func (m *settler) whole(index int) bool { return bytes.Equal(m.store[index], m.c.shards[index]) }

// starts begins the process of a node anew: only its index is as it was.
func (m *settler) starts() {
	link := &link{m}
	m.turns = scatter.NewTurns()
	distributor := scatter.NewDistributor(link, m.c.engine, m.book, scatter.Config{Concurrent: 1, Caps: &sdk.Caps{Replicas: 7, PerSubnet: 2}})
	m.Service = repair.New(repair.Deps{
		FS: crashfs.New(crashfs.Options{}), Network: link, Documents: link, Archive: link, Collect: m.collect,
		Catalog: m.catalog, Book: m.book, Policy: m.c.engine, Distributor: distributor, Turns: m.turns, Keeper: m,
		Self: m.contact.Key, Owner: m.owner, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return m.c.clock },
	}, repair.Config{Interval: m.c.every, Replicas: 7, Proofs: 8})
}

// round lets everybody who lives do a round, in some order.
func (c *colony) round(order []int) {
	c.t.Helper()
	c.clock = c.clock.Add(c.every)
	for _, i := range order {
		m := c.members[i]
		if m.dead {
			continue
		}
		if err := m.Custody(c.t.Context()); err != nil {
			c.t.Fatalf("node %d: %v", i, err)
		}
	}
}

// count tells how many distinct shards live nodes have, how many copies, and how many each.
func (c *colony) count() (distinct, copies int, each []int) {
	seen := map[int]bool{}
	for _, m := range c.members {
		if m.dead {
			continue
		}
		each = append(each, len(m.store))
		copies += len(m.store)
		for i := range m.store {
			if m.whole(i) {
				seen[i] = true
			}
		}
	}
	return len(seen), copies, each
}

// copiesEach counts the copies of each shard that live nodes have.
func (c *colony) copiesEach() []int {
	out := make([]int, len(c.shards))
	for _, m := range c.members {
		for i := range m.store {
			if !m.dead && m.whole(i) {
				out[i]++
			}
		}
	}
	return out
}

func (m *settler) keep(index int, b []byte) error {
	if digest.Of(b) != m.c.plan.Fragments[index] {
		return digest.ErrMismatch
	}
	m.store[index] = b
	m.c.moved++
	return m.catalog.Update(func(tx *catalog.Tx) error {
		added, err := tx.AddFragment(catalog.FragmentRef{
			Tessera: m.c.plan.Tessera, Index: index, Hash: m.c.plan.Fragments[index], Size: m.c.plan.ShardSize(), Stored: m.c.clock,
		})
		if err != nil || !added {
			return err
		}
		return ledger.Kept(tx, m.owner, m.c.plan.Owner(), m.c.plan.ShardSize())
	})
}

// Keep implements repair.Keeper.
func (m *settler) Keep(_ context.Context, _ *fragment.FragmentPlan, index int, body io.Reader) error {
	b, err := io.ReadAll(body)
	return errors.Join(err, m.keep(index, b))
}

// Yield implements repair.Keeper. It sees to it that nobody gives up the last copy.
func (m *settler) Yield(_ context.Context, t sdk.TesseraID, index int) error {
	others := 0
	for _, o := range m.c.members {
		if o != m && !o.dead && o.whole(index) {
			others++
		}
	}
	if others == 0 && m.whole(index) {
		m.c.t.Errorf("the last copy of shard %d is given up", index)
	}
	delete(m.store, index)
	return m.catalog.Update(func(tx *catalog.Tx) error { _, err := tx.DropFragment(t, index); return err })
}

// collect gives k shards of those who can be reached, or says how many there are.
func (m *settler) collect(context.Context, sdk.TesseraID) (repair.Collected, error) {
	if m.broken {
		return nil, errors.New("the disk is full")
	}
	if happens := m.meanwhile; happens != nil {
		m.meanwhile = nil
		happens()
	}
	g := &gathered{s: &tale{plan: m.c.plan, shards: m.c.shards}, have: map[int]bool{}}
	for _, o := range m.c.members {
		if o != m && !m.reaches(o) {
			continue
		}
		for i, b := range o.store {
			if bytes.Equal(b, m.c.shards[i]) && len(g.have) < 16 {
				g.have[i] = true
			}
		}
	}
	m.c.moved += len(g.have)
	if len(g.have) < 16 {
		return nil, fmt.Errorf("only %d of the 16 fragments needed", len(g.have))
	}
	return g, nil
}

func (m *settler) reaches(o *settler) bool { return !m.dead && !o.dead && !m.c.apart(m, o) }

// link is the network as one settler sees it.
type link struct{ *settler }

func (l *link) to(c identity.Contact) (*settler, error) {
	at := slices.IndexFunc(l.c.members, func(m *settler) bool { return m.contact.Key == c.Key })
	if at < 0 || !l.reaches(l.c.members[at]) {
		return nil, quicnet.ErrUnreachable
	}
	return l.c.members[at], nil
}

func (l *link) Attest(_ context.Context, to identity.Contact, ids []sdk.TesseraID) (sdk.OwnerKey, []wire.Holding, int, error) {
	o, err := l.to(to)
	if err != nil {
		return sdk.OwnerKey{}, nil, 0, err
	}
	h := wire.Holding{Tessera: l.c.plan.Tessera}
	err = o.catalog.View(func(tx *catalog.Tx) error {
		for f, err := range tx.WholeFragments(tx.Fragments(h.Tessera)) {
			if err != nil {
				return err
			}
			h.Fragments = append(h.Fragments, wire.HeldFragment{Index: f.Index, Checksum: f.Hash})
		}
		return nil
	})
	if len(h.Fragments) == 0 {
		return o.owner, nil, len(ids), err
	}
	return o.owner, []wire.Holding{h}, len(ids), err
}

func (l *link) Prove(_ context.Context, to identity.Contact, claim proof.Claim, nonce [32]byte, _ bool) (speaker.Proof, error) {
	o, err := l.to(to)
	if err != nil {
		return speaker.Proof{}, err
	}
	b := o.store[claim.Index]
	if digest.Of(b) != claim.Checksum {
		return speaker.Proof{}, wire.Refuse(wire.Code_DAMAGED, "gone")
	}
	outboard, _, err := digest.EncodeOutboard(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return speaker.Proof{}, err
	}
	q := claim.Challenge(nonce, false)
	answer, err := proof.Make(q, claim.Size, bytes.NewReader(b), outboard)
	return speaker.Proof{}, errors.Join(err, proof.Check(q, claim.Size, answer))
}

func (l *link) Watch(_ context.Context, to identity.Contact, ids []sdk.TesseraID) (heard []wire.CheckHeard, err error) {
	o, err := l.to(to)
	if err != nil {
		return nil, err
	}
	l.happens(asking, to.Key)
	defer l.happens(answered, to.Key)
	for _, id := range ids {
		said := o.Checked(id, l.contact.Key)
		h := wire.CheckHeard{Age: -1, Moving: said.Moving}
		if !said.At.IsZero() {
			h.Age = l.c.clock.Sub(said.At)
		}
		heard = append(heard, h)
	}
	return heard, nil
}

func (l *link) Others(context.Context, sdk.TesseraID) (all []identity.Contact, err error) {
	for _, o := range l.c.members {
		l.happens(looked, o.contact.Key)
	}
	for _, o := range l.c.members {
		if o != l.settler && l.reaches(o) {
			all = append(all, o.contact)
		}
	}
	return all, nil
}

func (l *link) Candidates(ctx context.Context, t sdk.TesseraID) (all []scatter.Candidate, err error) {
	for _, o := range l.c.members {
		if o != l.settler && l.reaches(o) {
			all = append(all, (&link{o}).Self(t))
		}
	}
	return all, nil
}

func (l *link) Self(sdk.TesseraID) scatter.Candidate {
	id := l.contact.ID()
	return scatter.Candidate{Peer: l.contact, View: &sdk.Candidate{
		Id: id[:], Subnet: scatter.SubnetBytes(l.contact.Addr.Addr()), FreeBytes: 1 << 40, ProofSuccessPpm: sdk.PPM, UptimePpm: sdk.PPM,
	}}
}

func (l *link) Push(_ context.Context, to identity.Contact, e fragment.FragmentEnvelope, why wire.Purpose) (wire.Receipt, error) {
	o, err := l.to(to)
	if err != nil {
		return wire.Receipt{}, err
	}
	if o.full {
		return wire.Receipt{}, wire.Refuse(wire.Code_NO_SPACE, "no space")
	}
	if why != wire.Purpose_CUSTODY || e.Holds == 0 || l.store[e.Holds-1] == nil {
		return wire.Receipt{}, wire.Refuse(wire.Code_DENIED, "the sender holds nothing of it")
	}
	b, err := io.ReadAll(e.Body)
	if err == nil {
		err = o.keep(e.ID.Index, b)
	}
	return wire.Receipt{
		Tessera: e.ID.Tessera, Owner: l.c.plan.Owner(), Index: uint32(e.ID.Index), Size: uint64(e.Size), Holder: o.contact.Key, HolderOwner: o.owner,
	}, err
}

func (l *link) Plan(t sdk.TesseraID) ([]byte, error) {
	if l.turns.Taken(t) {
		for _, o := range l.c.members {
			l.happens(turned, o.contact.Key)
		}
	}
	return l.c.plan.Bytes(), nil
}

func (l *link) Pack(context.Context, sdk.TesseraID, io.Writer) error { return fs.ErrNotExist }
func (l *link) Locate(c identity.Contact) identity.Contact           { return c }
func (l *link) Ping(_ context.Context, c identity.Contact) error     { _, err := l.to(c); return err }
func (l *link) RoundTrip(identity.Contact) time.Duration             { return 0 }
func (l *link) Owners() map[sdk.OwnerKey][]identity.Contact          { return nil }
func (l *link) Seen(sdk.NodeKey) time.Time                           { return l.c.met }
func (l *link) Subnet() string                                       { return identity.Subnet(l.contact.Addr.Addr()).String() }
