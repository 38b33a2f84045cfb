package repair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	speaker "github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ward is an owner's node that repairs, with the default policy and a network the test makes up.
type ward struct {
	*repair.Service
	root    string
	catalog *catalog.Catalog
	book    *holders.Book
	turns   *scatter.Turns
	owner   *identity.Owner
	clock   time.Time
	minFree uint64
	fetched uint64 // bytes that what is collected takes

	cases map[sdk.TesseraID]*tale

	mu        sync.Mutex // guards below
	peers     map[sdk.NodeKey]*peer
	pinged    int
	collected int // times fragments were fetched from peers
	takes     bool
}

// peer is a holder as it behaves when it is asked.
type peer struct {
	held   map[sdk.TesseraID][]wire.HeldFragment
	err    error // of every attestation
	ping   error
	covers int // tesseras in one answer; 0 is all
	asked  int
	// proves answers challenges; nil proves what is held
	proves     func(proof.Claim) (speaker.Proof, error)
	challenged [][32]byte
	moved      netip.AddrPort
	at         netip.AddrPort // where it was asked last
	met        time.Time
}

// tale is a tessera of the owner's, cut 4+2 or 4+4, and its packed bytes as the own copy gives them.
type tale struct {
	plan   *fragment.FragmentPlan
	text   []byte // of the plan on disk; nil is missing
	own    []byte
	ownErr error
	shards [][]byte
}

type memory []bytes.Buffer

func (m memory) Create(i int) (io.WriteCloser, error) { return closer{&m[i]}, nil }

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

type nothing struct{}

func (nothing) Append(byte, []byte) error { return nil }

const replicas = 3

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{
		root: t.TempDir(), turns: scatter.NewTurns(), clock: time.Unix(2_000_000_000, 0),
		cases: map[sdk.TesseraID]*tale{}, peers: map[sdk.NodeKey]*peer{}, takes: true,
	}
	w.peers[contact(9).Key] = &peer{held: map[sdk.TesseraID][]wire.HeldFragment{}}
	dir, err := vfs.OpenDir(w.root)
	if err != nil {
		t.Fatal(err)
	}
	if w.catalog, err = catalog.OpenMemory(catalog.Options{}); err != nil {
		t.Fatal(err)
	}
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() {
		if err := errors.Join(engine.Close(), w.catalog.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	w.owner = id.Owner
	now := func() time.Time { return w.clock }
	w.book = holders.New(w.catalog, nothing{}, w.owner.Key(), holders.Config{Replicas: replicas, Proofs: true}, now)
	w.Service = repair.New(repair.Deps{
		FS: limited{dir, w}, Network: w, Documents: w, Archive: w, Collect: w.collect, Catalog: w.catalog, Book: w.book,
		Policy: engine, Distributor: w, Turns: w.turns, Owner: w.owner.Key(), Log: slog.New(slog.DiscardHandler), Now: now,
	}, repair.Config{Interval: time.Hour, Replicas: replicas, Proofs: 8})
	return w
}

// limited is a disk on which only so much is free.
type limited struct {
	*vfs.Dir
	w *ward
}

func (l limited) Free() (uint64, error) {
	free, err := l.Dir.Free()
	return free - min(free, l.w.minFree), err
}

// creates makes a tessera that is published.
func (w *ward) creates(t *testing.T, seed byte) *tale { return w.cuts(t, seed, 2) }

func (w *ward) cuts(t *testing.T, seed byte, parity int) *tale {
	t.Helper()
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte{seed}), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
	m, err := tessera.Seal(list, "t", time.Unix(2, 0).UTC(), w.owner)
	if err != nil {
		t.Fatal(err)
	}
	s := &tale{own: make([]byte, 50_001)}
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(s.own)
	params := fragment.Params{Tier: fragment.Medium, Data: 4, Parity: parity, Chunk: 1000, Packed: int64(len(s.own)), Copies: 1}
	out := make(memory, params.Total())
	hashes, err := fragment.Encode(t.Context(), params, bytes.NewReader(s.own), out)
	if err == nil {
		s.plan, err = fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature)
	}
	if err == nil {
		err = s.plan.Sign(w.owner)
	}
	if err == nil {
		err = w.catalog.Update(func(tx *catalog.Tx) error {
			return errors.Join(
				tx.PutTessera(catalog.Tessera{ID: s.plan.Tessera, WantPublished: true, Published: true}),
				tx.PutPlan(catalog.PlanRow{
					Tessera: s.plan.Tessera, Owner: w.owner.Key(), Tier: int(params.Tier), Data: 4, Parity: parity, Copies: 1,
					ShardSize: s.plan.ShardSize(), Own: true,
				}),
			)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.text = s.plan.Bytes()
	for i := range out {
		s.shards = append(s.shards, out[i].Bytes())
	}
	w.cases[s.plan.Tessera] = s
	return s
}

func contact(n byte) identity.Contact {
	return identity.Contact{Key: sdk.NodeKey{n}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, n, 1}), 4433)}
}

// keeps lets a peer hold fragments, to its own knowledge and to the owner's.
func (w *ward) keeps(t *testing.T, n byte, s *tale, indices ...int) *peer {
	t.Helper()
	p := w.peers[contact(n).Key]
	if p == nil {
		p = &peer{held: map[sdk.TesseraID][]wire.HeldFragment{}}
		w.peers[contact(n).Key] = p
	}
	for _, i := range indices {
		p.held[s.plan.Tessera] = append(p.held[s.plan.Tessera], wire.HeldFragment{Index: i, Checksum: s.plan.Fragments[i]})
		if err := w.acknowledge(contact(n), s, i); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (w *ward) acknowledge(to identity.Contact, s *tale, index int) error {
	return w.book.Acknowledge(to, wire.Receipt{
		Tessera: s.plan.Tessera, Owner: w.owner.Key(), Index: uint32(index), Size: uint64(s.plan.ShardSize()),
		Holder: to.Key, HolderOwner: sdk.OwnerKey(to.Key),
	})
}

// spread gives two fragments each to three peers.
func (w *ward) spread(t *testing.T, s *tale) {
	t.Helper()
	for n := range byte(3) {
		w.keeps(t, n+1, s, int(2*n), int(2*n+1))
	}
}

// Attest implements repair.Network.
func (w *ward) Attest(_ context.Context, c identity.Contact, ids []sdk.TesseraID) (sdk.OwnerKey, []wire.Holding, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[c.Key]
	p.asked++
	p.at = c.Addr
	if p.err != nil {
		return sdk.OwnerKey{}, nil, 0, p.err
	}
	covered := len(ids)
	if p.covers > 0 {
		covered = min(covered, p.covers)
	}
	var out []wire.Holding
	for _, id := range ids[:covered] {
		if len(p.held[id]) > 0 {
			out = append(out, wire.Holding{Tessera: id, Fragments: p.held[id]})
		}
	}
	return sdk.OwnerKey(c.Key), out, covered, nil
}

// Locate implements repair.Network.
func (w *ward) Locate(c identity.Contact) identity.Contact {
	if p := w.peers[c.Key]; p.moved.IsValid() {
		c.Addr = p.moved
	}
	return c
}

// Ping implements repair.Network.
func (w *ward) Ping(_ context.Context, c identity.Contact) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pinged++
	return w.peers[c.Key].ping
}

// What a holder asks; an owner's node does not.

func (w *ward) Watch(context.Context, identity.Contact, []sdk.TesseraID) ([]wire.CheckHeard, error) {
	return nil, errors.New("an owner watches nobody")
}

func (w *ward) Others(context.Context, sdk.TesseraID) ([]identity.Contact, error) { return nil, nil }

func (w *ward) Owners() map[sdk.OwnerKey][]identity.Contact { return nil }

func (w *ward) Seen(k sdk.NodeKey) time.Time { return w.peers[k].met }

func (w *ward) Self(sdk.TesseraID) scatter.Candidate { return scatter.Candidate{} }

func (w *ward) Subnet() string { return "" }

// RoundTrip implements repair.Network.
func (w *ward) RoundTrip(identity.Contact) time.Duration { return time.Millisecond }

// Prove implements repair.Network: whoever holds a fragment can prove it, unless it lost the bytes.
func (w *ward) Prove(_ context.Context, c identity.Contact, claim proof.Claim, nonce [32]byte, whole bool) (out speaker.Proof, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[c.Key]
	p.challenged = append(p.challenged, nonce)
	if p.proves != nil {
		return p.proves(claim)
	}
	for _, f := range p.held[claim.Tessera] {
		if f.Index != claim.Index || f.Checksum != claim.Checksum {
			continue
		}
		if whole {
			h := digest.NewKeyed(nonce)
			h.Write(w.cases[claim.Tessera].shards[claim.Index])
			out.Whole = h.Sum()
		}
		return out, nil
	}
	return out, wire.Refuse(wire.Code_NOT_FOUND, "not here")
}

// Plan implements repair.Documents.
func (w *ward) Plan(id sdk.TesseraID) ([]byte, error) {
	if text := w.cases[id].text; text != nil {
		return text, nil
	}
	return nil, fs.ErrNotExist
}

// Pack implements repair.Archive.
func (w *ward) Pack(_ context.Context, id sdk.TesseraID, out io.Writer) error {
	s := w.cases[id]
	_, err := out.Write(s.own)
	return errors.Join(err, s.ownErr)
}

// gathered is what peers gave of a tessera.
type gathered struct {
	s    *tale
	have map[int]bool
}

// collect gives the fragments 1 to 4, or fails.
func (w *ward) collect(_ context.Context, id sdk.TesseraID) (repair.Collected, error) {
	w.collected++
	w.minFree += w.fetched
	s := w.cases[id]
	if s.shards[1] == nil {
		return nil, errors.New("too few fragments")
	}
	return &gathered{s, map[int]bool{1: true, 2: true, 3: true, 4: true}}, nil
}

func (g *gathered) Has(index int) bool { return g.have[index] }

func (g *gathered) Open(index int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(g.s.shards[index])), nil
}

func (g *gathered) Rebuild(ctx context.Context, out map[int]io.Writer) error {
	in := map[int]io.Reader{}
	for i := range g.have {
		in[i] = bytes.NewReader(g.s.shards[i])
	}
	return fragment.Rebuild(ctx, g.s.plan, in, out)
}

func (g *gathered) Discard() error { return nil }

// Distribute implements scatter's side: newcomer 9 takes everything, and looks at every byte.
func (w *ward) Distribute(ctx context.Context, o scatter.Order) (r scatter.Result, err error) {
	r.Left = o.Missing
	if !w.takes {
		r.Reason = "nobody is there"
		return r, nil
	}
	if err := o.Prepare(ctx); err != nil {
		return r, err
	}
	r.Left = nil
	for _, m := range o.Missing {
		body, err := o.Open(m.Index)
		if err != nil {
			return r, err
		}
		err = fragment.VerifyShard(ctx, o.Plan, m.Index, body)
		if err = errors.Join(err, body.Close()); err != nil {
			return r, fmt.Errorf("pushed wrong bytes: %w", err)
		}
		s, p := w.cases[o.Plan.Tessera], w.peers[contact(9).Key]
		if err := w.acknowledge(contact(9), s, m.Index); err != nil {
			return r, err
		}
		p.held[s.plan.Tessera] = append(p.held[s.plan.Tessera], wire.HeldFragment{Index: m.Index, Checksum: s.plan.Fragments[m.Index]})
		r.Placed = append(r.Placed, scatter.Placed{Index: m.Index, Peer: contact(9)})
	}
	return r, nil
}

// run repairs everything as the cycle does.
func (w *ward) run(t *testing.T) repair.Summary {
	t.Helper()
	s, err := w.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(w.root, "spool", "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	return s
}

// holding lists what the owner believes a peer holds.
func (w *ward) holding(t *testing.T, s *tale, n byte) (indices []int, silent bool) {
	t.Helper()
	rows, err := w.book.Of(s.plan.Tessera)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range rows {
		if h.Key == contact(n).Key {
			silent = !h.SilentSince.IsZero()
			for _, f := range h.Fragments {
				indices = append(indices, f.Index)
			}
		}
	}
	return indices, silent
}
