package publish_test

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
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/journal"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a node of one owner, with everything but a network: the peers are a list of contacts that
// take what they are given.
type house struct {
	*publish.Service
	root    string
	archive *archive.Archive
	catalog *catalog.Catalog
	book    *holders.Book
	shelf   *sidecar.Shelf
	turns   *scatter.Turns
	owner   *identity.Owner
	log     *slog.Logger

	peers   []identity.Contact // that are there
	packed  atomic.Int32       // times the own copy was read
	orders  []scatter.Order
	refuse  error // of every push
	told    map[sdk.NodeKey]int
	tellErr map[sdk.NodeKey]error
	failPut error // of every plan
}

const replicas = 3

func newHouse(t *testing.T, minFree uint64) *house {
	t.Helper()
	h := &house{root: t.TempDir(), turns: scatter.NewTurns(), told: map[sdk.NodeKey]int{}, tellErr: map[sdk.NodeKey]error{}, log: slog.New(slog.DiscardHandler)}
	dir, err := vfs.OpenDir(h.root)
	if err != nil {
		t.Fatal(err)
	}
	books, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := journal.Open(dir, "journal", journal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(log.Close(), books.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	objects, err := cas.New(dir, cas.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if h.shelf, err = sidecar.Open(dir, sidecar.Plans); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	h.owner, h.catalog = id.Owner, books
	h.archive, err = archive.New(archive.Deps{FS: dir, CAS: objects, Catalog: books, Plans: h.shelf, Owner: id.Owner}, archive.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h.book = holders.New(books, log, id.Owner.Key(), holders.Config{Replicas: replicas}, time.Now)
	h.Service = publish.New(publish.Deps{
		FS: dir, Archive: counting{h}, Documents: h, Catalog: books, Book: h.book, Distributor: h, Forgetter: h,
		Turns: h.turns, Owner: id.Owner, Log: h.log,
	}, publish.Config{MinFree: minFree})
	return h
}

// counting is the archive, which counts how often a tessera is packed.
type counting struct{ h *house }

func (c counting) Manifest(id sdk.TesseraID) (*tessera.Manifest, error) {
	return c.h.archive.Manifest(id)
}

func (c counting) Pack(ctx context.Context, id sdk.TesseraID, w io.Writer) error {
	c.h.packed.Add(1)
	return c.h.archive.Pack(ctx, id, w)
}

// Plan implements publish.Documents.
func (h *house) Plan(id sdk.TesseraID) ([]byte, error) { return h.document(id, sidecar.Plan) }

// PutPlan implements publish.Documents.
func (h *house) PutPlan(id sdk.TesseraID, text []byte) error {
	if h.failPut != nil {
		return h.failPut
	}
	return h.shelf.Write(id, sidecar.Plan, text)
}

// DropPlan implements publish.Documents.
func (h *house) DropPlan(id sdk.TesseraID) error { return h.shelf.Remove(id, sidecar.Plan) }

// Tombstone implements publish.Documents.
func (h *house) Tombstone(id sdk.TesseraID) ([]byte, error) { return h.document(id, sidecar.Tombstone) }

func (h *house) document(id sdk.TesseraID, ext string) ([]byte, error) {
	text, err := h.shelf.Read(id, ext, 1<<20)
	if errors.Is(err, sidecar.ErrNotFound) {
		err = fs.ErrNotExist
	}
	return text, err
}

// Distribute implements publish.Distributor: fragments go round the peers, each with its receipt.
func (h *house) Distribute(ctx context.Context, o scatter.Order) (r scatter.Result, err error) {
	h.orders = append(h.orders, o)
	r.Left = o.Missing
	if len(h.peers) == 0 {
		r.Reason = "nobody is there"
		return r, nil
	}
	if err := o.Prepare(ctx); err != nil {
		return r, err
	}
	for n, m := range o.Missing {
		for c := range m.Copies {
			to := h.peers[(n+c)%len(h.peers)]
			if err := h.give(o, m.Index, to); err != nil {
				r.Failures = append(r.Failures, scatter.Failure{Index: m.Index, Peer: to, Err: err})
				return r, ctx.Err()
			}
			r.Placed = append(r.Placed, scatter.Placed{Index: m.Index, Peer: to})
		}
		o.Done(m.Index)
	}
	r.Left = nil
	return r, nil
}

func (h *house) give(o scatter.Order, index int, to identity.Contact) error {
	if h.refuse != nil {
		return h.refuse
	}
	body, err := o.Open(index)
	if err != nil {
		return err
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); err != nil || n != o.Plan.ShardSize() {
		return fmt.Errorf("%d bytes of %d: %w", n, o.Plan.ShardSize(), err)
	}
	o.Placed(scatter.Placed{Index: index, Peer: to})
	return h.book.Acknowledge(to, wire.Receipt{
		Tessera: o.Plan.Tessera, Owner: o.Plan.Owner(), Index: uint32(index), Size: uint64(o.Plan.ShardSize()),
		Holder: to.Key, HolderOwner: sdk.OwnerKey(to.Key),
	})
}

// Forget implements publish.Forgetter.
func (h *house) Forget(_ context.Context, to identity.Contact, _ []byte) (int, error) {
	h.told[to.Key]++
	return 1, h.tellErr[to.Key]
}

func someone(n byte) identity.Contact {
	return identity.Contact{Key: sdk.NodeKey{n}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, n, 1}), 4433)}
}

func (h *house) meets(n byte) {
	for i := range n {
		h.peers = append(h.peers, someone(i+1))
	}
}

// creates makes a tessera of one file of so many random bytes.
func (h *house) creates(t *testing.T, size int) sdk.TesseraID {
	t.Helper()
	dir, content := t.TempDir(), make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err := tessera.Scan(t.Context(), root, tessera.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := tessera.WriteFolder(t.Context(), &stream, root, "title", found.Entries); err != nil {
		t.Fatal(err)
	}
	made, err := h.archive.Create(t.Context(), &stream)
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// medium is the size of a file that is coded 16+8.
const medium = 4 << 20

// publishes reaches a state, or fails the test.
func (h *house) publishes(t *testing.T, id sdk.TesseraID, want health.Status) publish.Result {
	t.Helper()
	r, err := h.Publish(t.Context(), id, nil)
	if err != nil || r.Health.Status != want {
		t.Fatalf("published: %+v, %v; want %s", r.Health, err, want)
	}
	return r
}

// row is what the catalog has of a tessera and of its plan.
func (h *house) row(t *testing.T, id sdk.TesseraID) (own catalog.Tessera, plan bool) {
	t.Helper()
	err := h.catalog.View(func(tx *catalog.Tx) (err error) {
		_, missing := tx.Plan(id)
		plan = missing == nil
		own, err = tx.Tessera(id)
		return err
	})
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		t.Fatal(err)
	}
	return own, plan
}

// left lists what is in the spools.
func (h *house) left(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(h.root, "spool", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
