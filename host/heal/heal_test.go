package heal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// room is a store that lost something, and peers that have it.
type room struct {
	*Service
	t     *testing.T
	root  string
	peers map[sdk.TesseraID]*collected
	asked int
	plans map[sdk.TesseraID]error // how fetching one ends
	kept  []sdk.TesseraID         // manifests
	lacks []digest.Hash           // files of a manifest that are not here
	given []int                   // fragments that others have by now
}

// giveUp drops the fragments that others have.
func (r *room) giveUp(_ context.Context, id sdk.TesseraID, indexes []int) (given []int, err error) {
	for _, index := range indexes {
		if slices.Contains(r.given, index) {
			given = append(given, index)
			err = errors.Join(err, r.Catalog.Reclaim(func(tx *catalog.Tx) error { _, err := tx.DropFragment(id, index); return err }))
		}
	}
	return given, err
}

// FetchPlan implements Documents.
func (r *room) FetchPlan(_ context.Context, id sdk.TesseraID) error { return r.plans[id] }

// KeepManifest implements Documents.
func (r *room) KeepManifest(m *tessera.Manifest) ([]digest.Hash, error) {
	r.kept = append(r.kept, m.ID())
	return r.lacks, nil
}

// collected is what peers give of one tessera.
type collected struct {
	has       map[int][]byte // fragments as they were fetched
	computes  map[int][]byte // fragments that can be computed
	packed    []byte
	err       error // of Rebuild and Decode, after what they gave
	discarded bool
}

func (c *collected) Has(index int) bool { return c.has[index] != nil }

func (c *collected) Open(index int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(c.has[index])), nil
}

func (c *collected) Rebuild(_ context.Context, out map[int]io.Writer) error {
	for i, w := range out {
		if _, err := w.Write(c.computes[i]); err != nil {
			return err
		}
	}
	return c.err
}

func (c *collected) Decode(_ context.Context, w io.Writer) error {
	_, err := w.Write(c.packed)
	return errors.Join(err, c.err)
}

func (c *collected) Discard() error { c.discarded = true; return nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errAway = errors.New("nobody is there")

func newRoom(t *testing.T) *room {
	t.Helper()
	root := t.TempDir()
	dir, err := vfs.OpenDir(root)
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	r := newRoomOn(t, dir)
	r.root = root
	return r
}

// newRoomOn is newRoom on any disk.
func newRoomOn(t *testing.T, disk vfs.FS) *room {
	t.Helper()
	r := &room{t: t, peers: map[sdk.TesseraID]*collected{}}
	objects, err := cas.New(disk, cas.Config{})
	must(t, err)
	books, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, books.Close()) })
	r.Service = New(Deps{
		Objects: objects, Catalog: books, Documents: r, Patience: time.Hour, Log: slog.New(slog.DiscardHandler),
		GiveUp: r.giveUp,
		Collect: func(_ context.Context, id sdk.TesseraID) (Collected, error) {
			r.asked++
			if c := r.peers[id]; c != nil {
				return c, nil
			}
			return nil, errAway
		},
	})
	return r
}

// lose records a need for a content that is not here.
func (r *room) lose(content string, need func(tx *catalog.Tx, h digest.Hash, size int64) error) digest.Hash {
	r.t.Helper()
	h := digest.Of([]byte(content))
	must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error { return need(tx, h, int64(len(content))) }))
	must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutDamage(catalog.Damage{Hash: h, Found: time.Unix(1, 0), Lost: true})
	}))
	return h
}

func (r *room) loseFragment(id sdk.TesseraID, index int, content string) digest.Hash {
	return r.lose(content, func(tx *catalog.Tx, h digest.Hash, size int64) error {
		_, err := tx.AddFragment(catalog.FragmentRef{Tessera: id, Index: index, Hash: h, Size: size})
		return err
	})
}

func (r *room) loseFile(id sdk.TesseraID, name, content string) digest.Hash {
	return r.lose(content, func(tx *catalog.Tx, h digest.Hash, size int64) error {
		return tx.AddBlobRef(catalog.BlobRef{Tessera: id, Memory: h, Name: name, Hash: h, Size: size})
	})
}

func (r *room) damaged() (n int) {
	r.t.Helper()
	must(r.t, r.Catalog.View(func(tx *catalog.Tx) error {
		for _, err := range tx.Damages() {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

func (r *room) heal(only ...sdk.TesseraID) Report {
	r.t.Helper()
	report, err := r.Run(r.t.Context(), only)
	must(r.t, err)
	return report
}

func (r *room) has(h digest.Hash, content string) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.root, cas.Path(h)))
	if err != nil || string(b) != content {
		r.t.Errorf("%q is here, want %q, %v", b, content, err)
	}
}

func TestFragmentsComeAsTheyAreOrComputed(t *testing.T) {
	r := newRoom(t)
	id, other := sdk.TesseraID{1}, sdk.TesseraID{2}
	fetched := r.loseFragment(id, 3, "fetched")
	computed := r.loseFragment(id, 5, "computed")
	r.loseFragment(other, 0, "of another")
	from := &collected{has: map[int][]byte{3: []byte("fetched")}, computes: map[int][]byte{5: []byte("computed")}}
	r.peers[id] = from
	if got := r.heal(id); got.Healed != 2 || len(got.Failed) != 0 || r.asked != 1 || !from.discarded {
		t.Errorf("%+v, asked %d times", got, r.asked)
	}
	r.has(fetched, "fetched")
	r.has(computed, "computed")
	if got := r.heal(); got.Healed != 0 || len(got.Failed) != 1 || got.Failed[0].Tessera != other || !errors.Is(got.Failed[0].Err, errAway) {
		t.Errorf("the other: %+v", got)
	}
	if r.damaged() != 1 || r.Healed() != 2 {
		t.Errorf("%d are damaged, %d healed", r.damaged(), r.Healed())
	}
}

func TestWrongBytesAreNotKept(t *testing.T) {
	for name, from := range map[string]*collected{
		"fetched":            {has: map[int][]byte{3: []byte("wrong!!")}},
		"computed":           {computes: map[int][]byte{3: []byte("wrong!!")}},
		"computed, too long": {computes: map[int][]byte{3: bytes.Repeat([]byte("right!!"), 100_000)}},
		"cut short":          {computes: map[int][]byte{3: []byte("rig")}, err: errAway},
	} {
		r := newRoom(t)
		r.loseFragment(sdk.TesseraID{1}, 3, "right!!")
		r.peers[sdk.TesseraID{1}] = from
		if got := r.heal(); got.Healed != 0 || len(got.Failed) != 1 || r.damaged() != 1 || !from.discarded {
			t.Errorf("%s: %+v, %d damaged", name, got, r.damaged())
		}
		if files, _ := filepath.Glob(filepath.Join(r.root, "objects", "*", "*.blob")); len(files) != 0 {
			t.Errorf("%s: %v is kept", name, files)
		}
	}
}

// pack makes a tessera of files.
func pack(t *testing.T, files map[string]string) (sdk.TesseraID, []byte) {
	t.Helper()
	who, err := identity.Generate(0)
	must(t, err)
	var list tessera.FileList
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, tessera.Entry{Path: name, Hash: digest.Of([]byte(files[name])), Size: int64(len(files[name])), ModTime: time.Unix(1, 0)})
	}
	m, err := tessera.Seal(list, "title", time.Unix(2, 0), who.Owner)
	must(t, err)
	var b bytes.Buffer
	must(t, tessera.Pack(t.Context(), &b, m, func(e tessera.Entry) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(files[e.Path]))), nil
	}))
	return m.ID(), b.Bytes()
}

func TestFilesComeOutOfTheWhole(t *testing.T) {
	r := newRoom(t)
	files := map[string]string{"a": "first", "b": "second", "c": "second", "d": "whole"}
	id, packed := pack(t, files)
	first, second := r.loseFile(id, "a", "first"), r.loseFile(id, "b", "second")
	r.peers[id] = &collected{packed: packed}
	if got := r.heal(); got.Healed != 2 || len(got.Failed) != 0 || r.damaged() != 0 {
		t.Errorf("%+v, %d damaged", got, r.damaged())
	}
	r.has(first, "first")
	r.has(second, "second")
	if there, _ := r.Objects.Contains(digest.Of([]byte("whole"))); there {
		t.Error("a file that was not damaged was stored too")
	}
}

// TestWhatCameBeforeTheEndStays breaks the decoding off behind the first file: that was right, and is
// kept; the rest is tried again.
func TestWhatCameBeforeTheEndStays(t *testing.T) {
	r := newRoom(t)
	id, packed := pack(t, map[string]string{"a": "first", "b": "second"})
	first := r.loseFile(id, "a", "first")
	r.loseFile(id, "b", "second")
	r.peers[id] = &collected{packed: packed[:len(packed)-2000], err: errAway}
	if got := r.heal(); got.Healed != 1 || len(got.Failed) != 1 || r.damaged() != 1 {
		t.Errorf("%+v, %d damaged", got, r.damaged())
	}
	r.has(first, "first")
	r.peers[id] = &collected{packed: packed}
	if got := r.heal(); got.Healed != 1 || len(got.Failed) != 0 || r.damaged() != 0 {
		t.Errorf("again: %+v, %d damaged", got, r.damaged())
	}
}

func TestAnotherTesseraIsRefused(t *testing.T) {
	r := newRoom(t)
	_, packed := pack(t, map[string]string{"a": "first"})
	id := sdk.TesseraID{7}
	r.loseFile(id, "a", "first")
	r.peers[id] = &collected{packed: packed}
	if got := r.heal(); got.Healed != 0 || len(got.Failed) != 1 || !errors.Is(got.Failed[0].Err, tessera.ErrOtherTessera) {
		t.Errorf("%+v", got)
	}
}

// TestOneObjectOfTwoTesserasIsFetchedOnce shares a lost object.
func TestOneObjectOfTwoTesserasIsFetchedOnce(t *testing.T) {
	r := newRoom(t)
	for i := range byte(2) {
		id := sdk.TesseraID{i + 1}
		r.loseFragment(id, 0, "shared")
		r.peers[id] = &collected{has: map[int][]byte{0: []byte("shared")}}
	}
	if got := r.heal(); got.Healed != 1 || r.asked != 1 || r.damaged() != 0 {
		t.Errorf("%+v, asked %d times", got, r.asked)
	}
}

func TestRoundsArePatientAndPersonsAreNot(t *testing.T) {
	r := newRoom(t)
	r.loseFragment(sdk.TesseraID{1}, 0, "lost")
	for range 3 {
		must(t, r.Step(t.Context()))
	}
	if r.asked != 1 {
		t.Errorf("in three rounds peers were asked %d times", r.asked)
	}
	r.heal()
	if r.asked != 2 {
		t.Errorf("a person's wish: asked %d times", r.asked)
	}
	r.Patience = 0
	r.peers[sdk.TesseraID{1}] = &collected{has: map[int][]byte{0: []byte("lost")}}
	must(t, r.Step(t.Context()))
	if r.damaged() != 0 {
		t.Error("it was not made good when it could be")
	}
}

// TestWhatIsGoneIsLeftToOthersForAWhile loses three fragments. What only holds other bytes is replaced at once, what is
// gone only after a while; what others have by then is given up.
func TestWhatIsGoneIsLeftToOthersForAWhile(t *testing.T) {
	r := newRoom(t)
	id := sdk.TesseraID{1}
	r.Patience, r.Elsewhere = 0, time.Hour
	again := func(h digest.Hash, lost bool, found time.Time) {
		t.Helper()
		must(t, r.Catalog.Update(func(tx *catalog.Tx) error {
			_, err := tx.Healed(h)
			return errors.Join(err, tx.PutDamage(catalog.Damage{Hash: h, Found: found, Lost: lost}))
		}))
	}
	rotten, gone, elsewhere := r.loseFragment(id, 0, "rotten"), r.loseFragment(id, 1, "gone"), r.loseFragment(id, 2, "elsewhere")
	again(rotten, false, time.Now())
	again(gone, true, time.Now())
	again(elsewhere, true, time.Now())
	r.peers[id] = &collected{has: map[int][]byte{0: []byte("rotten"), 1: []byte("gone"), 2: []byte("elsewhere")}}
	must(t, r.Step(t.Context()))
	r.has(rotten, "rotten")
	if r.damaged() != 2 || r.Healed() != 1 {
		t.Errorf("at first %d are damaged, %d healed", r.damaged(), r.Healed())
	}
	r.given = []int{2}
	for _, h := range []digest.Hash{gone, elsewhere} {
		again(h, true, time.Now().Add(-2*time.Hour))
	}
	must(t, r.Step(t.Context()))
	r.has(gone, "gone")
	if there, _ := r.Objects.Contains(elsewhere); there || r.Healed() != 2 {
		t.Errorf("later %d healed, what others have is here: %t", r.Healed(), there)
	}

	lost := r.loseFragment(id, 3, "lost")
	again(lost, true, time.Now())
	r.peers[id] = &collected{has: map[int][]byte{3: []byte("lost")}}
	r.heal(id)
	r.has(lost, "lost") // a person does not wait
}

func (r *room) accuse(id sdk.TesseraID, kind string) {
	r.t.Helper()
	must(r.t, r.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.PutBadDocument(catalog.BadDocument{Tessera: id, Kind: kind, Found: time.Unix(1, 0)})
	}))
}

// accused lists the kinds of documents that are still known to be damaged.
func (r *room) accused() (kinds []string) {
	r.t.Helper()
	must(r.t, r.Catalog.View(func(tx *catalog.Tx) error {
		for d, err := range tx.BadDocuments() {
			if err != nil {
				return err
			}
			kinds = append(kinds, d.Kind)
		}
		return nil
	}))
	return kinds
}

// TestDocumentsComeBack has a plan that a peer has, one that nobody has, and a manifest that comes out of the
// whole together with a file of which nothing was known without it.
func TestDocumentsComeBack(t *testing.T) {
	r := newRoom(t)
	id, packed := pack(t, map[string]string{"a": "first", "b": "second"})
	other := sdk.TesseraID{2}
	r.plans = map[sdk.TesseraID]error{other: errAway}
	r.accuse(id, catalog.DocManifest)
	r.accuse(id, catalog.DocPlan)
	r.accuse(other, catalog.DocPlan)
	r.accuse(sdk.TesseraID{}, catalog.DocJournal) // nobody has that
	r.lacks = []digest.Hash{r.loseFile(id, "b", "second")}
	r.peers[id] = &collected{packed: packed}
	got := r.heal()
	if got.Healed != 3 || len(got.Failed) != 1 || got.Failed[0].Tessera != other || r.Healed() != 3 {
		t.Errorf("%+v", got)
	}
	if kinds := r.accused(); !slices.Equal(kinds, []string{catalog.DocJournal, catalog.DocPlan}) {
		t.Errorf("still known are %q", kinds)
	}
	if !slices.Equal(r.kept, []sdk.TesseraID{id}) {
		t.Errorf("kept the manifests of %v", r.kept)
	}
	r.has(r.lacks[0], "second")
	r.plans = nil
	if got := r.heal(other); got.Healed != 1 || r.asked != 1 {
		t.Errorf("a plan alone: %+v, fragments were fetched %d times", got, r.asked)
	}
}
