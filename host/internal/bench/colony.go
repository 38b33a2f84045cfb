package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/quicnet"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// custodian is a node that keeps one fragment each of many tesseras of 16+8 for somebody else, beside 23
// other holders. Its index, books, policies, repair and disk are real; the others are function calls.
type custodian struct {
	*repair.Service
	book  *holders.Book
	disk  *countedFS
	clock time.Time
	plans []*fragment.FragmentPlan
	texts map[sdk.TesseraID][]byte
	held  map[sdk.NodeKey]map[sdk.TesseraID][]wire.HeldFragment
	dead  sdk.NodeKey // zero is nobody
	close func() error
}

const roundEvery = 24 * time.Hour

// othersContact is the n-th of the other holders; those after the 23 hold nothing yet.
func othersContact(n int) identity.Contact {
	return identity.Contact{
		Key: sdk.NodeKey{byte(n + 1), 9}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 4433),
	}
}

func newCustodian(ctx context.Context, l *lab, tesseras int) (c *custodian, err error) {
	path, err := l.folder("custodian")
	if err != nil {
		return nil, err
	}
	dir, err := vfs.OpenDir(path)
	if err != nil {
		return nil, err
	}
	index, err := catalog.Open(path+"/index", catalog.Options{Ballast: -1})
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	engine := policy.New(policy.Deps{}, policy.Config{})
	c = &custodian{
		disk: &countedFS{FS: dir}, clock: time.Unix(2_000_000_000, 0), texts: map[sdk.TesseraID][]byte{},
		held:  map[sdk.NodeKey]map[sdk.TesseraID][]wire.HeldFragment{},
		close: func() error { return errors.Join(engine.Close(), index.Close(), dir.Close(), os.RemoveAll(path)) },
	}
	now := func() time.Time { return c.clock }
	first, period := holders.Periods(roundEvery, 2*time.Hour)
	self := sdk.OwnerKey{77}
	c.book = holders.New(index, noJournal{}, self, holders.Config{Replicas: 7, First: first, Period: period, Proofs: true}, now)
	c.Service = repair.New(repair.Deps{
		FS: c.disk, Network: c, Documents: c, Archive: c, Collect: c.collect, Catalog: index, Book: c.book, Policy: engine,
		Distributor: c, Turns: scatter.NewTurns(), Self: sdk.NodeKey{99}, Owner: self, Log: slog.New(slog.DiscardHandler), Now: now,
	}, repair.Config{Interval: roundEvery, Replicas: 7, Proofs: 8})
	if err = c.fill(ctx, index, tesseras); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

type noJournal struct{}

func (noJournal) Append(byte, []byte) error { return nil }

// fill makes tesseras of the same content, and lets all 24 nodes hold one fragment of each.
func (c *custodian) fill(ctx context.Context, index *catalog.Catalog, tesseras int) error {
	owner, err := identity.Generate(0)
	if err != nil {
		return err
	}
	params, hashes, err := c.shards(ctx)
	if err != nil {
		return err
	}
	for i := range tesseras {
		list := tessera.FileList{{Path: "a", Hash: digest.Of(fmt.Append(nil, i)), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
		m, err := tessera.Seal(list, fmt.Sprint("tessera ", i), time.Unix(2, 0).UTC(), owner.Owner)
		if err != nil {
			return err
		}
		p, err := fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature)
		if err == nil {
			err = p.Sign(owner.Owner)
		}
		if err != nil {
			return err
		}
		c.plans, c.texts[p.Tessera] = append(c.plans, p), p.Bytes()
	}
	return catalog.UpdateEach(index, c.plans, c.enter)
}

// shards codes the content that all tesseras share, and puts its shards on the disk, from where the other
// holders give them.
func (c *custodian) shards(ctx context.Context) (fragment.Params, []digest.Hash, error) {
	content := make([]byte, 256*kib)
	fillRandom(content)
	params := fragment.Params{Tier: fragment.Medium, Data: 16, Parity: 8, Chunk: 1024, Packed: int64(len(content)), Copies: 1}
	spool, err := fragment.OpenSpool(c.disk, "others")
	if err != nil {
		return params, nil, err
	}
	hashes, err := fragment.Encode(ctx, params, bytes.NewReader(content), spool)
	return params, hashes, err
}

// enter writes the rows of a tessera.
func (c *custodian) enter(tx *catalog.Tx, p *fragment.FragmentPlan) error {
	err := tx.PutPlan(catalog.PlanRow{
		Tessera: p.Tessera, Owner: p.Owner(), Tier: int(p.Tier), Data: p.Data, Parity: p.Parity, Copies: p.Copies, ShardSize: p.ShardSize(),
	})
	if err != nil {
		return err
	}
	last := p.Total() - 1
	ref := catalog.FragmentRef{Tessera: p.Tessera, Index: last, Hash: p.Fragments[last], Size: p.ShardSize(), Stored: c.clock}
	if _, err := tx.AddFragment(ref); err != nil {
		return err
	}
	for i := range last {
		at := othersContact(i)
		c.holds(at.Key, p, i)
		err := tx.PutHolder(catalog.Holder{
			Tessera: p.Tessera, Key: at.Key, Owner: sdk.OwnerKey(at.Key), Addr: at.Addr.String(), LastSeen: c.clock,
			Fragments: []catalog.HeldFragment{{Index: i, Acked: c.clock}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *custodian) holds(key sdk.NodeKey, p *fragment.FragmentPlan, index int) {
	if c.held[key] == nil {
		c.held[key] = map[sdk.TesseraID][]wire.HeldFragment{}
	}
	c.held[key][p.Tessera] = []wire.HeldFragment{{Index: index, Checksum: p.Fragments[index]}}
}

// The network: everybody but the dead one answers at once, and proves what it holds.

func (c *custodian) Attest(_ context.Context, to identity.Contact, ids []sdk.TesseraID) (sdk.OwnerKey, []wire.Holding, int, error) {
	if to.Key == c.dead {
		return sdk.OwnerKey{}, nil, 0, quicnet.ErrUnreachable
	}
	var out []wire.Holding
	for _, id := range ids {
		if f := c.held[to.Key][id]; f != nil {
			out = append(out, wire.Holding{Tessera: id, Fragments: f})
		}
	}
	return sdk.OwnerKey(to.Key), out, len(ids), nil
}

func (c *custodian) Prove(context.Context, identity.Contact, proof.Claim, [32]byte, bool) (peer.Proof, error) {
	return peer.Proof{}, nil
}

func (c *custodian) Watch(_ context.Context, _ identity.Contact, ids []sdk.TesseraID) ([]wire.CheckHeard, error) {
	return make([]wire.CheckHeard, len(ids)), nil // checked just now
}

func (c *custodian) Others(context.Context, sdk.TesseraID) ([]identity.Contact, error) {
	return nil, nil
}
func (c *custodian) Locate(at identity.Contact) identity.Contact  { return at }
func (c *custodian) Ping(context.Context, identity.Contact) error { return nil }
func (c *custodian) Owners() map[sdk.OwnerKey][]identity.Contact  { return nil }
func (c *custodian) Seen(sdk.NodeKey) time.Time                   { return time.Time{} }
func (c *custodian) Self(sdk.TesseraID) scatter.Candidate         { return scatter.Candidate{} }
func (c *custodian) Subnet() string                               { return "10.9.9.0/24" }
func (c *custodian) RoundTrip(identity.Contact) time.Duration     { return 0 }

// Plan implements repair.Documents.
func (c *custodian) Plan(id sdk.TesseraID) ([]byte, error) { return c.texts[id], nil }

// Pack implements repair.Archive: the owner's copy is not here.
func (c *custodian) Pack(context.Context, sdk.TesseraID, io.Writer) error { return fs.ErrNotExist }

// Distribute gives what is rebuilt to a node that holds nothing yet.
func (c *custodian) Distribute(ctx context.Context, o scatter.Order) (r scatter.Result, err error) {
	if err := o.Prepare(ctx); err != nil {
		return r, err
	}
	for i, m := range o.Missing {
		to := othersContact(otherHolders + i)
		body, err := o.Open(m.Index)
		if err != nil {
			return r, err
		}
		if err := errors.Join(fragment.VerifyShard(ctx, o.Plan, m.Index, body), body.Close()); err != nil {
			return r, err
		}
		c.holds(to.Key, o.Plan, m.Index)
		err = c.book.Acknowledge(to, wire.Receipt{
			Tessera: o.Plan.Tessera, Owner: o.Plan.Owner(), Index: uint32(m.Index), Size: uint64(o.Plan.ShardSize()), Holder: to.Key,
			HolderOwner: sdk.OwnerKey(to.Key),
		})
		if err != nil {
			return r, err
		}
		r.Placed = append(r.Placed, scatter.Placed{Index: m.Index, Peer: to})
	}
	return r, nil
}

// collect gives the first k shards of those who live.
func (c *custodian) collect(_ context.Context, id sdk.TesseraID) (repair.Collected, error) {
	others, err := fragment.OpenSpool(c.disk, "others")
	if err != nil {
		return nil, err
	}
	plan, err := fragment.ParsePlan(c.texts[id])
	if err != nil {
		return nil, err
	}
	g := &collected{plan: plan, shards: others, have: map[int]bool{}}
	for i := range plan.Total() {
		if othersContact(i).Key != c.dead && len(g.have) < plan.Data {
			g.have[i] = true
		}
	}
	return g, nil
}

type collected struct {
	plan   *fragment.FragmentPlan
	shards *fragment.Spool
	have   map[int]bool
}

func (g *collected) Has(index int) bool                    { return g.have[index] }
func (g *collected) Open(index int) (io.ReadCloser, error) { return g.shards.Open(index) }
func (g *collected) Discard() error                        { return nil }

func (g *collected) Rebuild(ctx context.Context, out map[int]io.Writer) (err error) {
	in := map[int]io.Reader{}
	for i := range g.have {
		r, err := g.shards.Open(i)
		if err != nil {
			return err
		}
		defer r.Close()
		in[i] = r
	}
	return fragment.Rebuild(ctx, g.plan, in, out)
}

// countedFS counts what goes through the seam to the disk.
type countedFS struct {
	vfs.FS
	read, written atomic.Int64
}

func (c *countedFS) counted(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &countedFile{f, c}, nil
}

func (c *countedFS) Create(name string) (vfs.File, error) { return c.counted(c.FS.Create(name)) }
func (c *countedFS) Open(name string) (vfs.File, error)   { return c.counted(c.FS.Open(name)) }
func (c *countedFS) OpenAppend(name string) (vfs.File, error) {
	return c.counted(c.FS.OpenAppend(name))
}

type countedFile struct {
	vfs.File
	of *countedFS
}

func (f *countedFile) Read(p []byte) (int, error) { return f.of.reads(f.File.Read(p)) }
func (f *countedFile) ReadAt(p []byte, at int64) (int, error) {
	return f.of.reads(f.File.ReadAt(p, at))
}
func (f *countedFile) Write(p []byte) (int, error) { return f.of.writes(f.File.Write(p)) }

func (f *countedFile) WriteAt(p []byte, at int64) (int, error) {
	return f.of.writes(f.File.WriteAt(p, at))
}

func (c *countedFS) reads(n int, err error) (int, error)  { c.read.Add(int64(n)); return n, err }
func (c *countedFS) writes(n int, err error) (int, error) { c.written.Add(int64(n)); return n, err }
