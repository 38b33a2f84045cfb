package rebuild

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// room is a data directory without an index, whose journal the test writes.
type room struct {
	t         *testing.T
	fsys      vfs.FS
	store     *cas.Store
	shelf     *sidecar.Shelf
	manifests *sidecar.Shelf
	who       *identity.Identity
	log       []journal.Record
	damaged   bool // the journal
}

func newRoom(t *testing.T) *room {
	t.Helper()
	dir, err := vfs.OpenDir(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	return newRoomOn(t, dir)
}

// newRoomOn is newRoom on any disk.
func newRoomOn(t *testing.T, disk vfs.FS) *room {
	t.Helper()
	r := &room{t: t, fsys: disk}
	var err error
	r.store, err = cas.New(r.fsys, cas.Config{})
	must(t, err)
	r.shelf, err = sidecar.Open(r.fsys, sidecar.Plans)
	must(t, err)
	r.manifests, err = sidecar.Open(r.fsys, sidecar.Tesseras)
	must(t, err)
	r.who, err = identity.Generate(0)
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Records implements Records.
func (r *room) Records() iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if r.damaged && !yield(journal.Record{}, &journal.DamageError{Segment: "1"}) {
			return
		}
		for _, rec := range r.log {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Manifests implements Manifests.
func (r *room) Manifests() iter.Seq2[sdk.TesseraID, error] { return r.manifests.List(sidecar.Manifest) }

// ReadManifest implements Manifests.
func (r *room) ReadManifest(id sdk.TesseraID) (*tessera.Manifest, error) {
	b, err := r.manifests.Read(id, sidecar.Manifest, 1<<20)
	if err != nil {
		return nil, err
	}
	return tessera.ParseManifest(b)
}

// rebuilt gives the catalog that follows from what is there.
func (r *room) rebuilt() (*catalog.Catalog, Report) {
	r.t.Helper()
	c, report, err := r.rebuild()
	must(r.t, err)
	return c, report
}

// rebuild is rebuilt where it may fail.
func (r *room) rebuild() (*catalog.Catalog, Report, error) {
	r.t.Helper()
	c, err := catalog.OpenMemory(catalog.Options{})
	must(r.t, err)
	r.t.Cleanup(func() { must(r.t, c.Close()) })
	report, err := Run(r.t.Context(), Deps{
		Catalog: c, Store: r.store, Archive: r, Documents: r.shelf, Journal: r, Owner: r.who.Owner.Key(),
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	return c, report, err
}

func (r *room) put(content []byte) digest.Hash {
	r.t.Helper()
	o, err := r.store.Stage(r.t.Context(), bytes.NewReader(content), nil)
	must(r.t, err)
	r.store.Unpin(o.Hash)
	return o.Hash
}

// published is a tessera of somebody, cut 3+2.
type published struct {
	owner    *identity.Identity
	manifest *tessera.Manifest
	plan     *fragment.FragmentPlan
	shards   [][]byte
}

type shards struct{ bufs []bytes.Buffer }

func (s *shards) Create(i int) (io.WriteCloser, error) { return nopCloser{&s.bufs[i]}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// publish makes one and keeps its plan here.
func (r *room) publish(owner *identity.Identity, title string) *published {
	r.t.Helper()
	h := digest.Of([]byte(title))
	p := &published{owner: owner}
	var err error
	p.manifest, err = tessera.Seal(tessera.FileList{{Path: "a", Hash: h, Size: int64(len(title)), ModTime: time.Unix(1, 0)}}, title, time.Unix(2, 0), owner.Owner)
	must(r.t, err)
	content := strings.Repeat(title, 1000)
	params := fragment.Params{Tier: fragment.Medium, Data: 3, Parity: 2, Chunk: 64, Packed: int64(len(content)), Copies: 1}
	s := &shards{make([]bytes.Buffer, params.Total())}
	hashes, err := fragment.Encode(r.t.Context(), params, strings.NewReader(content), s)
	must(r.t, err)
	p.plan, err = fragment.NewPlan(params, hashes, p.manifest.HeadBytes, p.manifest.Signature)
	must(r.t, err)
	must(r.t, p.plan.Sign(owner.Owner))
	must(r.t, r.shelf.Write(p.plan.Tessera, sidecar.Plan, p.plan.Bytes()))
	for i := range s.bufs {
		p.shards = append(p.shards, s.bufs[i].Bytes())
	}
	return p
}

func (r *room) append(kind byte, payload []byte) {
	r.log = append(r.log, journal.Record{Kind: kind, Payload: payload})
}

// receipt writes a receipt of a holder for a fragment.
func (r *room) receipt(kind byte, p *published, index int, holder *identity.Identity) {
	r.t.Helper()
	b, err := proto.Marshal(wire.SignReceipt(holder.Node, wire.Receipt{
		Tessera: p.plan.Tessera, Owner: p.plan.Owner(), Index: uint32(index), Checksum: p.plan.Fragments[index],
		Size: uint64(p.plan.ShardSize()), HolderOwner: holder.Owner.Key(), Sender: r.who.Node.Key(), Time: time.Unix(100, 0),
	}))
	must(r.t, err)
	r.append(kind, b)
}

func stranger(t *testing.T) *identity.Identity {
	t.Helper()
	who, err := identity.Generate(0)
	must(t, err)
	return who
}

func view(t *testing.T, c *catalog.Catalog, fn func(*catalog.Tx) error) {
	t.Helper()
	must(t, c.View(fn))
}

func TestNothingGivesNothing(t *testing.T) {
	c, report := newRoom(t).rebuilt()
	at, err := Last(c)
	if !report.Empty() || !at.IsZero() || err != nil {
		t.Errorf("%+v, rebuilt at %s, %v", report, at, err)
	}
}

func TestFragmentsComeBackByReceiptAndByPlan(t *testing.T) {
	r := newRoom(t)
	p := r.publish(stranger(t), "theirs")
	idle := r.publish(stranger(t), "of which nothing is kept")
	r.put(p.shards[0]) // with a receipt
	r.put(p.shards[1]) // the process died before it gave one
	r.receipt(holders.RecordGiven, p, 0, r.who)
	r.receipt(holders.RecordGiven, p, 0, r.who) // acknowledged anew
	r.receipt(holders.RecordGiven, p, 2, r.who) // and lost
	r.receipt(holders.RecordGiven, p, 3, r.who) // and given up
	r.append(holders.RecordReleased, holders.ReleasedRecord(p.plan.Tessera, 3))
	r.append(99, []byte("of another kind"))
	r.append(holders.RecordGiven, []byte("rotten"))
	r.damaged = true
	c, report := r.rebuilt()
	if report.Fragments != 3 || report.Plans != 1 || report.Missing != 1 || report.Unreadable != 2 || report.Objects != 2 {
		t.Errorf("%+v", report)
	}
	view(t, c, func(tx *catalog.Tx) error {
		var kept []int
		for f, err := range tx.Fragments(p.plan.Tessera) {
			must(t, err)
			kept = append(kept, f.Index)
			if f.Index == 0 && !f.Stored.Equal(time.Unix(100, 0)) {
				t.Errorf("stored at %s", f.Stored)
			}
		}
		if !slices.Equal(kept, []int{0, 1, 2}) {
			t.Errorf("kept %v", kept)
		}
		row, err := tx.Ledger(p.plan.Owner())
		if row.StoredForThem != 3*uint64(p.plan.ShardSize()) {
			t.Errorf("charged %+v", row)
		}
		if _, err := tx.Damage(p.plan.Fragments[2]); err != nil {
			t.Errorf("the lost one: %v", err)
		}
		if _, err := tx.Plan(idle.plan.Tessera); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("a plan that nothing asks for: %v", err)
		}
		return err
	})
	if at, err := Last(c); err != nil || time.Since(at) > time.Minute {
		t.Errorf("rebuilt at %s, %v", at, err)
	}
}

func TestWhatItsOwnerDeletedStaysDeleted(t *testing.T) {
	r := newRoom(t)
	for _, owner := range []*identity.Identity{r.who, stranger(t)} {
		p := r.publish(owner, "deleted by "+owner.Owner.Key().String())
		r.put(p.shards[0])
		r.receipt(holders.RecordGiven, p, 0, r.who)
		must(t, r.manifests.Write(p.plan.Tessera, sidecar.Manifest, p.manifest.Bytes()))
		tomb, err := tessera.SignTombstone(p.plan.Tessera, time.Unix(3, 0), owner.Owner)
		must(t, err)
		must(t, r.shelf.Write(p.plan.Tessera, sidecar.Tombstone, tomb.Bytes()))
	}
	forged := r.publish(stranger(t), "not deleted by its owner")
	r.put(forged.shards[0])
	tomb, err := tessera.SignTombstone(forged.plan.Tessera, time.Unix(3, 0), stranger(t).Owner)
	must(t, err)
	must(t, r.shelf.Write(forged.plan.Tessera, sidecar.Tombstone, tomb.Bytes()))
	c, report := r.rebuilt()
	if report.Fragments != 1 || report.Tesseras != 1 || report.Unreadable != 1 {
		t.Errorf("%+v", report)
	}
	view(t, c, func(tx *catalog.Tx) error {
		totals, err := tx.Totals()
		if totals.Objects != 1 {
			t.Errorf("needed are %+v", totals)
		}
		return err
	})
}

// TestAnOwnFileThatIsNotHereIsDamage has an own tessera of two files, of which one was lost or put aside
// before the index went.
func TestAnOwnFileThatIsNotHereIsDamage(t *testing.T) {
	r := newRoom(t)
	here, lost := r.put([]byte("here")), digest.Of([]byte("lost"))
	files := tessera.FileList{{Path: "here", Hash: here, Size: 4, ModTime: time.Unix(1, 0)}, {Path: "lost", Hash: lost, Size: 4, ModTime: time.Unix(1, 0)}}
	m, err := tessera.Seal(files, "mine", time.Unix(2, 0), r.who.Owner)
	must(t, err)
	must(t, r.manifests.Write(m.ID(), sidecar.Manifest, m.Bytes()))
	c, report := r.rebuilt()
	if report.Files != 2 || report.Missing != 1 || report.Objects != 1 {
		t.Errorf("%+v", report)
	}
	view(t, c, func(tx *catalog.Tx) error {
		if d, err := tx.Damage(lost); err != nil || !d.Lost {
			t.Errorf("the lost file: %+v, %v", d, err)
		}
		if _, err := tx.Damage(here); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("the other one: %v", err)
		}
		return nil
	})
}

// TestHoldersComeBackAsTheyLastWere lives through acknowledgements, a holder that moved, lost and found
// fragments, and one that forgot everything.
func TestHoldersComeBackAsTheyLastWere(t *testing.T) {
	r := newRoom(t)
	p := r.publish(r.who, "mine")
	must(t, r.manifests.Write(p.plan.Tessera, sidecar.Manifest, p.manifest.Bytes()))
	first, second := stranger(t), stranger(t)
	at := func(who *identity.Identity, addr string) {
		b, err := proto.Marshal(wire.NewContact(identity.Contact{Key: who.Node.Key(), Nonce: who.Node.Nonce(), Addr: netip.MustParseAddrPort(addr)}))
		must(t, err)
		r.append(holders.RecordMet, b)
	}
	at(first, "192.0.2.1:1")
	for i := range 3 {
		r.receipt(holders.RecordTaken, p, i, first)
	}
	r.receipt(holders.RecordTaken, p, 3, second)
	r.receipt(holders.RecordTaken, p, 3, second)
	at(second, "192.0.2.2:1")
	at(first, "192.0.2.1:2")
	held := func(who *identity.Identity, indices ...byte) {
		b := slices.Concat(p.plan.Tessera[:], sliceOf(who.Node.Key()), sliceOf(who.Owner.Key()))
		for _, i := range indices {
			b = append(b, 0, i)
		}
		r.append(holders.RecordHeld, b)
	}
	held(first, 0, 4)
	held(second)
	r.append(holders.RecordWish, append(p.plan.Tessera[:], 3))
	c, _ := r.rebuilt()
	view(t, c, func(tx *catalog.Tx) error {
		h, err := tx.Holder(p.plan.Tessera, first.Node.Key())
		if err != nil || h.Addr != "192.0.2.1:2" || h.Owner != first.Owner.Key() || len(h.Fragments) != 2 || h.Fragments[1].Index != 4 {
			t.Errorf("%+v, %v", h, err)
		}
		if _, err := tx.Holder(p.plan.Tessera, second.Node.Key()); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("the one that forgot: %v", err)
		}
		one, err1 := tx.Ledger(first.Owner.Key())
		two, err2 := tx.Ledger(second.Owner.Key())
		if one.TheyStoreForUs != 2*uint64(p.plan.ShardSize()) || two.TheyStoreForUs != 0 {
			t.Errorf("credited %+v, %+v", one, two)
		}
		own, err3 := tx.Tessera(p.plan.Tessera)
		if !own.WantPublished || !own.Published {
			t.Errorf("wanted %+v", own)
		}
		if peer, err := tx.Peer(first.Node.Key()); err != nil || peer.Addr != "192.0.2.1:2" {
			t.Errorf("whom to ask: %+v, %v", peer, err)
		}
		return errors.Join(err1, err2, err3)
	})
}

func sliceOf[K ~[32]byte](k K) []byte { return k[:] }

func TestAStoppedRebuildSaysSo(t *testing.T) {
	r := newRoom(t)
	r.publish(stranger(t), "theirs")
	c, err := catalog.Open(t.TempDir(), catalog.Options{Ballast: -1})
	must(t, err)
	defer func() { must(t, c.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := Deps{
		Catalog: c, Store: r.store, Archive: r, Documents: r.shelf, Journal: r, Owner: r.who.Owner.Key(),
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	if _, err := Run(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if half, err := UnderWay(c); err != nil || !half {
		t.Errorf("under way: %v, %v", half, err)
	}
	if _, err := Run(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if half, err := UnderWay(c); err != nil || half {
		t.Errorf("done, under way: %v, %v", half, err)
	}
}
