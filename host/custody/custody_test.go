package custody_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/custody"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/holders"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// room is a custody with a real object store and the books in memory.
type room struct {
	*custody.Service
	root    string
	objects *cas.Store
	catalog *catalog.Catalog
	papers  papers
	journal *receipts
	asked   *sdk.AdmitRequest
	answer  *policy.Admission
	self    *identity.Identity
}

// Admit implements custody.Admitter with the answer the test wants.
func (r *room) Admit(_ context.Context, q *sdk.AdmitRequest) (*policy.Admission, error) {
	r.asked = q
	return r.answer, nil
}

type receipts struct {
	mu   sync.Mutex
	kept [][]byte
}

func (j *receipts) Append(_ byte, record []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = append(j.kept, record)
	return nil
}

// papers keeps documents in memory.
type papers map[string][]byte

func (p papers) get(kind string, t sdk.TesseraID) ([]byte, error) {
	b, ok := p[kind+t.String()]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (p papers) Plan(t sdk.TesseraID) ([]byte, error)      { return p.get("plan", t) }
func (p papers) Tombstone(t sdk.TesseraID) ([]byte, error) { return p.get("tomb", t) }
func (p papers) PutPlan(t sdk.TesseraID, b []byte) error   { p["plan"+t.String()] = b; return nil }

func (p papers) PutTombstone(t sdk.TesseraID, b []byte) error { p["tomb"+t.String()] = b; return nil }

func (p papers) DropPlan(t sdk.TesseraID) error { delete(p, "plan"+t.String()); return nil }

func newRoom(t *testing.T) *room {
	t.Helper()
	root := t.TempDir()
	dir, err := vfs.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := cas.New(dir, cas.Config{})
	if err != nil {
		t.Fatal(err)
	}
	books, err := catalog.OpenMemory(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(books.Close(), dir.Close()) })
	self, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	r := &room{root: root, objects: objects, catalog: books, papers: papers{}, journal: &receipts{}, self: self}
	r.open(r.papers, r.journal)
	return r
}

// open opens the service over the room's store and books.
func (r *room) open(documents custody.Documents, journal holders.Journal) {
	r.answer = &policy.Admission{Verdict: policy.Accept}
	r.Service = custody.New(custody.Deps{
		Objects: r.objects, Catalog: r.catalog, Documents: documents, Journal: journal, Admitter: r,
		Node: r.self.Node, Owner: r.self.Owner.Key(), Peers: func() int { return 12 },
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}, custody.Config{
		PeerLimit: 1 << 30, DeficitAllowance: 256 << 20,
		Free:          func() (uint64, error) { return 1 << 40, nil },
		Institutional: func(sdk.OwnerKey) bool { return false },
	})
}

// offer is a published tessera of somebody else, cut 3+2.
type offer struct {
	who    *identity.Identity
	sender custody.Sender
	plan   *fragment.FragmentPlan
	shards [][]byte
}

type memory struct{ bufs []bytes.Buffer }

func (m *memory) Create(i int) (io.WriteCloser, error) { return nopCloser{&m.bufs[i]}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func newOffer(t *testing.T) *offer {
	t.Helper()
	who, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := tessera.Seal(tessera.FileList{{Path: "a", Hash: digest.Of([]byte("a")), Size: 1, ModTime: time.Unix(1, 0).UTC()}}, "t", time.Unix(2, 0).UTC(), who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("some bytes ", 1000)
	params := fragment.Params{Tier: fragment.Medium, Data: 3, Parity: 2, Chunk: 64, Packed: int64(len(content)), Copies: 1}
	m := &memory{bufs: make([]bytes.Buffer, params.Total())}
	hashes, err := fragment.Encode(t.Context(), params, strings.NewReader(content), m)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := fragment.NewPlan(params, hashes, manifest.HeadBytes, manifest.Signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Sign(who.Owner); err != nil {
		t.Fatal(err)
	}
	o := &offer{who: who, plan: plan, sender: custody.Sender{Key: who.Node.Key(), ID: who.Node.ID(), Owner: who.Owner.Key()}}
	for i := range m.bufs {
		o.shards = append(o.shards, m.bufs[i].Bytes())
	}
	return o
}

func (o *offer) header(index int) *wire.Replicate {
	return &wire.Replicate{Plan: o.plan.Bytes(), Index: uint32(index), Size: uint64(o.plan.ShardSize()), Purpose: wire.Purpose_PUBLISH}
}

func (o *offer) push(t *testing.T, r *room, index int) (*wire.ReplicateAck, error) {
	t.Helper()
	return r.Replicate(t.Context(), o.sender, o.header(index), bytes.NewReader(o.shards[index]))
}

func TestWhatIsAcknowledgedIsHere(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	ack, err := o.push(t, r, 3)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := wire.VerifyReceipt(ack)
	if err != nil || receipt.Holder != r.self.Node.Key() || receipt.Checksum != o.plan.Fragments[3] || receipt.Owner != o.who.Owner.Key() {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if len(r.journal.kept) != 1 {
		t.Errorf("%d receipts in the journal, want 1", len(r.journal.kept))
	}
	id := o.plan.ID(3)
	size, body, err := r.Fragment(&wire.FetchFragment{Tessera: id.Tessera[:], Index: 3, Checksum: id.Checksum[:]})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, o.shards[3]) || size != int64(len(got)) {
		t.Errorf("served %d bytes of %d, %v", len(got), size, err)
	}
	answer, err := r.Plan(o.plan.Tessera)
	if err != nil || !bytes.Equal(answer.GetPlan(), o.plan.Bytes()) {
		t.Errorf("the plan is not served as it came: %v", err)
	}
	if row := r.ledger(t, o); row.StoredForThem != uint64(o.plan.ShardSize()) {
		t.Errorf("ledger %+v", row)
	}
}

func (r *room) ledger(t *testing.T, o *offer) (row catalog.LedgerRow) {
	t.Helper()
	err := r.catalog.View(func(tx *catalog.Tx) (err error) {
		row, err = tx.Ledger(o.who.Owner.Key())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func TestTheSameFragmentTwiceIsChargedOnce(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	for range 2 {
		if _, err := o.push(t, r, 0); err != nil {
			t.Fatal(err)
		}
	}
	if row := r.ledger(t, o); row.StoredForThem != uint64(o.plan.ShardSize()) {
		t.Errorf("charged %d bytes for a fragment of %d", row.StoredForThem, o.plan.ShardSize())
	}
	unread := iotest.ErrReader(errors.New("the body was asked for"))
	if _, err := r.Replicate(t.Context(), o.sender, o.header(0), unread); err != nil {
		t.Errorf("a fragment that is here: %v", err)
	}
}

// TestOnlyTheFirstFragmentIsNews pushes several fragments of two tesseras, one of them twice.
func TestOnlyTheFirstFragmentIsNews(t *testing.T) {
	r, o, other := newRoom(t), newOffer(t), newOffer(t)
	var news []bool
	r.Stored = func(_ sdk.TesseraID, first bool) { news = append(news, first) }
	for _, c := range []struct {
		of    *offer
		index int
	}{{o, 0}, {o, 1}, {other, 1}, {o, 1}, {o, 4}, {other, 0}} {
		if _, err := c.of.push(t, r, c.index); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{true, false, true, false, false}; !slices.Equal(news, want) {
		t.Errorf("told of first fragments %v, want %v", news, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *room, o *offer, q *wire.Replicate) (body []byte)
		want  wire.Code
	}{
		"wrong bytes": {func(_ *room, o *offer, _ *wire.Replicate) []byte {
			bad := bytes.Clone(o.shards[1])
			bad[7] ^= 1
			return bad
		}, wire.Code_HASH_MISMATCH},
		"plan of another key": {func(_ *room, o *offer, q *wire.Replicate) []byte {
			at := bytes.LastIndex(q.Plan, []byte("ed25519 ")) + len("ed25519 ")
			q.Plan[at] = "01"[btoi(q.Plan[at] == '0')]
			return nil
		}, wire.Code_BAD_SIGNATURE},
		"no plan":        {func(_ *room, _ *offer, q *wire.Replicate) []byte { q.Plan = []byte("hello"); return nil }, wire.Code_MALFORMED},
		"no such index":  {func(_ *room, _ *offer, q *wire.Replicate) []byte { q.Index = 5; return nil }, wire.Code_MALFORMED},
		"another size":   {func(_ *room, _ *offer, q *wire.Replicate) []byte { q.Size++; return nil }, wire.Code_MALFORMED},
		"another's plan": {func(_ *room, o *offer, _ *wire.Replicate) []byte { o.sender.Owner[0] ^= 1; return nil }, wire.Code_DENIED},
		"owner in debt": {func(r *room, _ *offer, _ *wire.Replicate) []byte {
			r.answer = &policy.Admission{Verdict: policy.Refuse, Reason: "owes too much"}
			return nil
		}, wire.Code_OVER_ALLOWANCE},
		"policy defers": {func(r *room, _ *offer, _ *wire.Replicate) []byte {
			r.answer = &policy.Admission{Verdict: policy.Later}
			return nil
		}, wire.Code_DEFERRED},
		"deleted": {func(r *room, o *offer, _ *wire.Replicate) []byte {
			r.papers["tomb"+o.plan.Tessera.String()] = []byte("gone")
			return nil
		}, wire.Code_DELETED},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := newRoom(t), newOffer(t)
			q := o.header(1)
			body := io.Reader(iotest.ErrReader(errors.New("the body was read before the offer was accepted")))
			if b := c.spoil(r, o, q); b != nil {
				body = bytes.NewReader(b)
			}
			_, err := r.Replicate(t.Context(), o.sender, q, body)
			if got := wire.CodeOf(err); got != c.want {
				t.Errorf("%v (%s), want %s", err, got, c.want)
			}
			r.isEmpty(t, o)
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isEmpty checks that a refused push left nothing.
func (r *room) isEmpty(t *testing.T, o *offer) {
	t.Helper()
	if row := r.ledger(t, o); row.StoredForThem != 0 {
		t.Errorf("charged %d bytes", row.StoredForThem)
	}
	if here, err := r.objects.Contains(o.plan.Fragments[1]); err != nil || here {
		t.Errorf("the object is here: %v %v", here, err)
	}
	if len(r.journal.kept) != 0 {
		t.Error("a receipt was written")
	}
}

func TestAStreamThatEndsEarlyLeavesNothing(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	cut := io.MultiReader(bytes.NewReader(o.shards[1][:100]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := r.Replicate(t.Context(), o.sender, o.header(1), cut); err == nil {
		t.Fatal("acknowledged")
	}
	r.isEmpty(t, o)
	if _, err := o.push(t, r, 1); err != nil {
		t.Errorf("the next push: %v", err)
	}
}

func TestWhatIsUnderWayCountsAsPromised(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	other := *o
	inside, body := make(chan struct{}), io.Reader(bytes.NewReader(o.shards[0]))
	proceed := make(chan struct{})
	var first sync.Once
	slow := readerFunc(func(p []byte) (int, error) {
		first.Do(func() { inside <- struct{}{}; <-proceed })
		return body.Read(p)
	})
	done := make(chan error)
	go func() {
		_, err := r.Replicate(context.Background(), o.sender, o.header(0), slow)
		done <- err
	}()
	<-inside
	if _, err := other.push(t, r, 1); err != nil {
		t.Fatal(err)
	}
	if want := uint64(o.plan.ShardSize()); r.asked.StoredForThem != want {
		t.Errorf("the second push was judged with %d bytes stored, want the %d under way", r.asked.StoredForThem, want)
	}
	if want := uint64(o.plan.ShardSize()); r.asked.NewcomerGranted != want || r.asked.FragmentsHere != 1 || r.asked.CustodyUsed != 0 {
		t.Errorf("the second push was judged with %d bytes granted to newcomers and %d fragments here", r.asked.NewcomerGranted, r.asked.FragmentsHere)
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOnlyTheOwnerDeletes(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	for i := range 2 {
		if _, err := o.push(t, r, i); err != nil {
			t.Fatal(err)
		}
	}
	stranger := newOffer(t)
	forged, err := tessera.SignTombstone(o.plan.Tessera, time.Now(), stranger.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Forget(t.Context(), forged.Bytes()); wire.CodeOf(err) != wire.Code_BAD_SIGNATURE {
		t.Errorf("a stranger's deletion: %v", err)
	}
	if here, _ := r.objects.Contains(o.plan.Fragments[0]); !here {
		t.Fatal("a stranger's deletion removed a fragment")
	}
	tomb, err := tessera.SignTombstone(o.plan.Tessera, time.Now(), o.who.Owner)
	if err != nil {
		t.Fatal(err)
	}
	removed, err := r.Forget(t.Context(), tomb.Bytes())
	if err != nil || removed != 2 {
		t.Fatalf("removed %d, %v", removed, err)
	}
	if here, _ := r.objects.Contains(o.plan.Fragments[0]); here {
		t.Error("the fragment is still here")
	}
	if row := r.ledger(t, o); row.StoredForThem != 0 {
		t.Errorf("still charged %d bytes", row.StoredForThem)
	}
	if _, err := o.push(t, r, 0); wire.CodeOf(err) != wire.Code_DELETED {
		t.Errorf("pushed again: %v", err)
	}
}

func TestADamagedFragmentIsNeverServedAsWhole(t *testing.T) {
	r, o := newRoom(t), newOffer(t)
	if _, err := o.push(t, r, 2); err != nil {
		t.Fatal(err)
	}
	id := o.plan.ID(2)
	flip(t, filepath.Join(r.root, cas.Path(id.Checksum)))
	_, body, err := r.Fragment(&wire.FetchFragment{Tessera: id.Tessera[:], Index: 2, Checksum: id.Checksum[:]})
	if err == nil {
		defer body.Close()
		_, err = io.ReadAll(body)
	}
	if err == nil {
		t.Error("served wrong bytes to their end without an error")
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
