package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tale is a packed tessera, cut 4+2, and the plan of it.
type tale struct {
	content []byte
	plan    *fragment.FragmentPlan
	shards  [6][]byte
}

type memory [6]bytes.Buffer

func (m *memory) Create(i int) (io.WriteCloser, error) { return closer{&m[i]}, nil }

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

func newTale(t *testing.T, seed byte) *tale {
	t.Helper()
	owner, err := identity.Generate(0)
	if err != nil {
		t.Fatal(err)
	}
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte{seed}), Size: 1, ModTime: time.Unix(1, 0).UTC()}}
	m, err := tessera.Seal(list, "t", time.Unix(2, 0).UTC(), owner.Owner)
	if err != nil {
		t.Fatal(err)
	}
	s := &tale{content: make([]byte, 50_001)}
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(s.content)
	params := fragment.Params{Tier: fragment.Medium, Data: 4, Parity: 2, Chunk: 1000, Packed: int64(len(s.content)), Copies: 1}
	var out memory
	hashes, err := fragment.Encode(t.Context(), params, bytes.NewReader(s.content), &out)
	if err != nil {
		t.Fatal(err)
	}
	if s.plan, err = fragment.NewPlan(params, hashes, m.HeadBytes, m.Signature); err == nil {
		err = s.plan.Sign(owner.Owner)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.shards {
		s.shards[i] = out[i].Bytes()
	}
	return s
}

// peers is a network of holders: each has a plan or not, and some fragments, right or wrong.
type peers struct {
	list []*holder

	mu      sync.Mutex // guards below
	fetched []int
	asked   int // just now, what they hold
	most    int // of asked, so far
}

// enter notes that one more is being asked, or one less.
func (p *peers) enter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked += n
	p.most = max(p.most, p.asked)
}

type holder struct {
	contact identity.Contact
	plan    *fragment.FragmentPlan
	planErr error
	shards  map[int][]byte
	silent  bool          // says nothing about what it holds, until it is no longer waited for
	deaf    bool          // to every question, for as long as a connection takes to give up
	thinks  time.Duration // before it says what it holds
	pace    int           // bytes a second; 0 = all at once
}

// hears returns the error of a question that was put to one that is deaf.
func (h *holder) hears(ctx context.Context, thinks time.Duration) error {
	if h.deaf {
		thinks = time.Minute
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(thinks):
	}
	if h.deaf {
		return errors.New("deaf")
	}
	return nil
}

// add joins a holder of fragments.
func (p *peers) add(s *tale, indices ...int) *holder {
	h := &holder{contact: identity.Contact{Key: sdk.NodeKey{byte(len(p.list) + 1), byte((len(p.list) + 1) >> 8)}}, plan: s.plan, shards: map[int][]byte{}}
	for _, i := range indices {
		h.shards[i] = s.shards[i]
	}
	p.list = append(p.list, h)
	return h
}

func (p *peers) at(c identity.Contact) *holder {
	return p.list[slices.IndexFunc(p.list, func(h *holder) bool { return h.contact == c })]
}

// Holders implements restore.Network.
func (p *peers) Holders(context.Context, sdk.TesseraID) (out []identity.Contact, err error) {
	for _, h := range p.list {
		out = append(out, h.contact)
	}
	return out, nil
}

// Plan implements restore.Network.
func (p *peers) Plan(ctx context.Context, from identity.Contact, id sdk.TesseraID) (*fragment.FragmentPlan, error) {
	h := p.at(from)
	if err := h.hears(ctx, 0); err != nil {
		return nil, err
	}
	if h.planErr == nil && h.plan.Tessera != id {
		return nil, errors.New("it is the plan of another")
	}
	return h.plan, h.planErr
}

// Held implements restore.Network.
func (p *peers) Held(ctx context.Context, from identity.Contact, _ *fragment.FragmentPlan) (indices []int, err error) {
	h := p.at(from)
	p.enter(1)
	defer p.enter(-1)
	if h.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := h.hears(ctx, h.thinks); err != nil {
		return nil, err
	}
	for i := range h.shards {
		indices = append(indices, i)
	}
	return indices, nil
}

// Fragment implements restore.Network.
func (p *peers) Fragment(ctx context.Context, from identity.Contact, id fragment.FragmentID, _ int64, w io.Writer) error {
	p.mu.Lock()
	p.fetched = append(p.fetched, id.Index)
	p.mu.Unlock()
	h := p.at(from)
	shard := h.shards[id.Index]
	for h.pace > 0 && len(shard) > h.pace {
		if err := h.hears(ctx, time.Second); err != nil {
			return err
		}
		if _, err := w.Write(shard[:h.pace]); err != nil {
			return err
		}
		shard = shard[h.pace:]
	}
	_, err := w.Write(shard)
	return err
}

// papers are the plans on this node's disk.
type papers map[sdk.TesseraID][]byte

func (p papers) Plan(id sdk.TesseraID) ([]byte, error) {
	if text, ok := p[id]; ok {
		return text, nil
	}
	return nil, fs.ErrNotExist
}

// desk is a node that restores.
type desk struct {
	*restore.Service
	*peers
	papers papers
	root   string
}

func newDesk(t *testing.T, minFree uint64) *desk {
	t.Helper()
	root := t.TempDir()
	dir, err := vfs.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	d := &desk{peers: &peers{}, papers: papers{}, root: root}
	d.Service = restore.New(dir, d.peers, d.papers, restore.Config{Concurrent: 2, MinFree: minFree}, slog.New(slog.DiscardHandler))
	return d
}

// restores collects and decodes, and checks every byte.
func (d *desk) restores(t *testing.T, s *tale) *restore.Collected {
	t.Helper()
	c, err := d.Collect(t.Context(), s.plan.Tessera, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := c.Decode(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), s.content) {
		t.Fatalf("%d of %d bytes, %v", got.Len(), len(s.content), err)
	}
	return c
}

// spooled lists the whole shards in the spools.
func (d *desk) spooled(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.root, "spool", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAnyEnoughFragmentsWillDo(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	d.add(s, 5, 3)
	d.add(s)
	d.add(s, 1, 4)
	var most, total int64
	c, err := d.Collect(t.Context(), s.plan.Tessera, func(n, of int64) { most, total = max(most, n), of })
	if err != nil {
		t.Fatal(err)
	}
	if want := 4 * s.plan.ShardSize(); total != want || most != want {
		t.Errorf("progress up to %d of %d, want %d", most, total, want)
	}
	if len(c.Served) != 2 || !c.Has(5) || c.Has(0) {
		t.Errorf("served %+v", c.Served)
	}
	out := map[int]io.Writer{0: &bytes.Buffer{}, 2: &bytes.Buffer{}}
	if err := c.Rebuild(t.Context(), out); err != nil || !bytes.Equal(out[2].(*bytes.Buffer).Bytes(), s.shards[2]) {
		t.Errorf("rebuilt: %v", err)
	}
	if err := c.Discard(); err != nil || len(d.spooled(t)) != 0 {
		t.Errorf("%v, left %v", err, d.spooled(t))
	}
}

func TestItGoesOnWithWhatIsThereAndRight(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	d.add(s, 0, 1, 2)
	_, err := d.Collect(t.Context(), s.plan.Tessera, nil)
	var few *gather.InsufficientError
	if !errors.As(err, &few) || few.Have != 3 || few.Need != 4 || len(d.spooled(t)) != 3 {
		t.Fatalf("%v, spool %v", err, d.spooled(t))
	}
	spool := filepath.Dir(d.spooled(t)[0])
	if err := os.WriteFile(filepath.Join(spool, "1.shard"), flip(s.shards[1]), 0o600); err != nil { // rotten since
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spool, "2.shard"), s.shards[2][:100], 0o600); err != nil { // power failed
		t.Fatal(err)
	}
	d.fetched = nil
	d.add(s, 4, 5)
	c := d.restores(t, s)
	slices.Sort(d.fetched)
	if len(d.fetched) != 3 || slices.Contains(d.fetched, 0) {
		t.Errorf("fetched %v, though fragment 0 was there and only 1 and 2 were not right", d.fetched)
	}
	if err := c.Leave(); err != nil || len(d.spooled(t)) != 4 {
		t.Errorf("%v, left %v", err, d.spooled(t))
	}
	d.fetched = nil
	if c = d.restores(t, s); len(d.fetched) != 0 {
		t.Errorf("fetched %v again", d.fetched)
	}
	if err := c.Discard(); err != nil {
		t.Error(err)
	}
}

func flip(b []byte) []byte {
	out := slices.Clone(b)
	out[len(out)/2] ^= 1
	return out
}

func TestTwoAtOnceDoNotMeetInTheSpool(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	d.add(s, 0, 1, 2, 3, 4, 5)
	first, second := d.restores(t, s), d.restores(t, s)
	if err := second.Discard(); err != nil {
		t.Error(err)
	}
	if err := first.Decode(t.Context(), io.Discard); err != nil {
		t.Errorf("the first, after the second was done: %v", err)
	}
	third := d.restores(t, s)
	if err := errors.Join(third.Leave(), first.Discard()); err != nil || len(d.spooled(t)) != 0 {
		t.Errorf("%v, left %v", err, d.spooled(t))
	}
	if err := d.restores(t, s).Discard(); err != nil {
		t.Error(err)
	}
}

func TestWrongFragmentsAreNobodysWord(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	liars := []*holder{d.add(s, 0, 1), d.add(s, 2), d.add(s, 3)}
	liars[0].shards[0], liars[0].shards[1] = s.shards[1], s.shards[0] // swapped
	liars[1].shards[2] = flip(s.shards[2])
	liars[2].shards[3] = append(slices.Clone(s.shards[3]), 0)
	d.add(s, 0, 1, 2, 3)
	c := d.restores(t, s)
	if len(c.Served) != 1 || c.Served[0].Node != d.list[3].contact.ID() || len(c.Served[0].Fragments) != 4 {
		t.Errorf("served %+v", c.Served)
	}
}

func TestASilentHolderIsNotWaitedFor(t *testing.T) {
	d, s := newDesk(t, 0), newTale(t, 1)
	d.add(s).silent = true
	d.add(s, 0, 1, 2, 3)
	begun := time.Now()
	d.restores(t, s)
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}
