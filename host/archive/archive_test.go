package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

func TestCreateAndReadBack(t *testing.T) {
	h, f := newHouse(t), holiday()
	made := create(t, h, f, "Our holiday")
	if made.Title != "Our holiday" || made.Files != 7 || made.SizeBytes != f.bytes() || made.NewBytes != f.bytes()-int64(len("the same")) {
		t.Errorf("created %+v", made)
	}
	audit(t, h, made.ID)
	wantObjects(t, h, f)

	var packed bytes.Buffer
	must(t, h.Pack(ctx, made.ID, &packed))
	row, err := h.Get(made.ID)
	must(t, err)
	if int64(packed.Len()) != row.Packed {
		t.Errorf("packed %d bytes, foretold %d", packed.Len(), row.Packed)
	}
	var back unpacked
	must(t, tessera.Unpack(ctx, &packed, &back))
	if !maps.Equal(back.f, f) {
		t.Error("other files came back")
	}

	r, e, err := h.OpenFile(made.ID, "b/c.jpg")
	must(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	must(t, err)
	if string(content) != f["b/c.jpg"] || e.MediaType != "image/jpeg" {
		t.Errorf("%d bytes of %s", len(content), e.MediaType)
	}
	for _, path := range []string{"b", "hollow", "b/e.jpg", ""} {
		_, _, err := h.OpenFile(made.ID, path)
		wantError(t, err, ErrNoFile)
	}
}

func TestResolve(t *testing.T) {
	h := newHouse(t)
	a, b := create(t, h, tree{"a": "1"}, "a"), create(t, h, tree{"a": "1"}, "b")
	for _, made := range []Created{a, b} {
		for _, n := range []int{8, 64} {
			m, err := h.Show(made.ID.String()[:n])
			must(t, err)
			if m.ID() != made.ID || m.Head.Title != made.Title {
				t.Errorf("%s shows %s", made.ID.Short(), m.Head.Title)
			}
		}
	}
	for prefix, want := range map[string]error{
		"": ErrShortPrefix, a.ID.String()[:3]: ErrShortPrefix, "zzzz": ErrNotFound, a.ID.String() + "0": ErrNotFound,
		strings.ToUpper(a.ID.String()[:8]) + "A": ErrNotFound,
	} {
		_, err := h.Resolve(prefix)
		wantError(t, err, want)
	}
	for n := byte(0); ; n++ { // until two of them begin alike
		_, err := h.Resolve(a.ID.String()[:4])
		if errors.Is(err, ErrAmbiguous) {
			break
		}
		must(t, err)
		if n == 255 {
			t.Fatal("no two ids begin alike")
		}
		twin := a.ID
		twin[31] = n
		must(t, h.addTwin(a.ID, twin))
	}
}

// addTwin makes a row of another id.
func (h *house) addTwin(of, id sdk.TesseraID) error {
	row, err := h.Get(of)
	if err != nil {
		return err
	}
	row.ID = id
	return h.catalog.Update(func(tx *catalogTx) error { return tx.PutTessera(row) })
}

func TestSameFolderAgainNeedsNoRoom(t *testing.T) {
	h, f := newHouse(t), holiday()
	a := create(t, h, f, "A")
	b := create(t, h, f, "B")
	if b.NewBytes != 0 || b.SizeBytes != f.bytes() {
		t.Errorf("%d new bytes of %d", b.NewBytes, b.SizeBytes)
	}
	audit(t, h, a.ID, b.ID)
	wantObjects(t, h, f)
}

// TestBrokenStreamLeavesNothing cuts the stream of a folder anywhere.
func TestBrokenStreamLeavesNothing(t *testing.T) {
	h := newHouse(t)
	kept := tree{"kept.txt": "alpha"} // shared with the folder that fails
	made := create(t, h, kept, "")
	whole, err := holiday().stream("")
	must(t, err)
	for n := 0; n < len(whole)-1024; n += 1 + len(whole)/25 {
		_, err := h.Create(ctx, bytes.NewReader(whole[:n]))
		wantError(t, err, tessera.ErrIncomplete)
		audit(t, h, made.ID)
		wantObjects(t, h, kept)
	}
}

func TestCancelledCreateLeavesNothing(t *testing.T) {
	h := newHouse(t)
	whole, err := holiday().stream("")
	must(t, err)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	r := io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	}))
	_, err = h.Create(cancelled, r)
	wantError(t, err, context.Canceled)
	audit(t, h)
	wantObjects(t, h)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTooLittleFreeSpace(t *testing.T) {
	h := reopen(t, t.TempDir(), houseOptions{minFree: 1 << 62})
	_, err := h.Create(ctx, readerFunc(func([]byte) (int, error) {
		t.Error("read before the space was checked")
		return 0, io.EOF
	}))
	var refusal *cas.NoSpaceError
	if !errors.As(err, &refusal) {
		t.Errorf("created: %v", err)
	}
}

func TestVerifyNamesEveryBadFile(t *testing.T) {
	h, f := newHouse(t), holiday()
	made := create(t, h, f, "")
	must(t, h.Verify(ctx, made.ID, Watch{Bad: func(e tessera.Entry, err error) { t.Errorf("%s: %v", e.Path, err) }}))

	at := func(path string) string { return filepath.Join(h.dir, cas.Path(digest.Of([]byte(f[path])))) }
	flip(t, at("b/d.jpg"), 1_000_000)
	must(t, os.Remove(at("same 1.txt")))
	must(t, os.Truncate(at("b/c.jpg"), 5))
	var bad []string
	err := h.Verify(ctx, made.ID, Watch{Bad: func(e tessera.Entry, err error) {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", e.Path, err)
		}
		bad = append(bad, e.Path)
	}})
	wantError(t, err, ErrDamaged)
	slices.Sort(bad)
	if want := []string{"b/c.jpg", "b/d.jpg", "same 1.txt", "same 2.txt"}; !slices.Equal(bad, want) {
		t.Errorf("bad: %q, want %q", bad, want)
	}

	err = h.Pack(ctx, made.ID, io.Discard)
	var fileErr *tessera.FileError
	if !errors.As(err, &fileErr) || fileErr.Path != "b/c.jpg" {
		t.Errorf("pack: %v", err)
	}
	r, _, err := h.OpenFile(made.ID, "b/d.jpg")
	must(t, err)
	defer r.Close()
	_, err = io.ReadAll(r)
	wantError(t, err, cas.ErrDamaged)

	// Creating the folder again heals what is damaged.
	again := create(t, h, f, "again")
	must(t, h.Verify(ctx, made.ID, Watch{}))
	audit(t, h, made.ID, again.ID)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	err = h.Verify(cancelled, made.ID, Watch{Bad: func(e tessera.Entry, err error) { t.Errorf("%s: %v", e.Path, err) }})
	wantError(t, err, context.Canceled)
}

func flip(t testing.TB, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	b[at] ^= 1
	must(t, os.WriteFile(name, b, 0o600))
}

func TestDamagedManifest(t *testing.T) {
	h := newHouse(t)
	made := create(t, h, holiday(), "title")
	other := create(t, h, holiday(), "other")
	name := filepath.Join(h.dir, h.manifests.Path(made.ID, sidecar.Manifest))
	good, err := os.ReadFile(name)
	must(t, err)
	for at := 0; at < len(good); at += 1 + len(good)/100 {
		flip(t, name, at)
		wantError(t, h.Verify(ctx, made.ID, Watch{}), ErrDamaged)
		wantError(t, h.Pack(ctx, made.ID, io.Discard), ErrDamaged)
		must(t, os.WriteFile(name, good, 0o600))
	}
	otherDoc, err := os.ReadFile(filepath.Join(h.dir, h.manifests.Path(other.ID, sidecar.Manifest)))
	must(t, err)
	must(t, os.WriteFile(name, otherDoc, 0o600))
	wantError(t, h.Verify(ctx, made.ID, Watch{}), ErrDamaged)
	must(t, os.Remove(name))
	wantError(t, h.Verify(ctx, made.ID, Watch{}), ErrDamaged)
	must(t, h.Verify(ctx, other.ID, Watch{}))
}

func TestDelete(t *testing.T) {
	h := newHouse(t)
	kept := tree{"kept.txt": "alpha", "b": "kept"}
	a, b := create(t, h, holiday(), "A"), create(t, h, kept, "B")
	must(t, h.Delete(ctx, a.ID))
	audit(t, h, b.ID)
	wantObjects(t, h, kept)
	wantError(t, h.Delete(ctx, a.ID), ErrNotFound)
	wantError(t, h.Verify(ctx, a.ID, Watch{}), ErrNotFound)
	wantError(t, h.Pack(ctx, a.ID, io.Discard), ErrNotFound)

	doc, err := h.plans.Read(a.ID, sidecar.Tombstone, sidecar.MaxTombstone)
	must(t, err)
	tomb, err := tessera.ParseTombstone(doc)
	must(t, err)
	must(t, tomb.Verify(newOwner(1).Key()))
	if tomb.Tessera != a.ID {
		t.Errorf("tombstone of %s", tomb.Tessera)
	}
	must(t, h.Recover(ctx))
	must(t, h.Delete(ctx, b.ID))
	audit(t, h)
	wantObjects(t, h)
}

func TestDeletedStaysDeleted(t *testing.T) {
	at := time.Unix(1_900_000_000, 0)
	h := reopen(t, t.TempDir(), houseOptions{now: func() time.Time { return at }})
	a := create(t, h, holiday(), "")
	again := create(t, h, holiday(), "") // the same time gives the same tessera
	if a.ID != again.ID || again.NewBytes != 0 {
		t.Errorf("%s, %d new bytes", again.ID, again.NewBytes)
	}
	audit(t, h, a.ID)
	must(t, h.Delete(ctx, a.ID))
	_, err := h.Create(ctx, holiday().reader(t, ""))
	wantError(t, err, ErrDeleted)
	audit(t, h)
	wantObjects(t, h)
}

// TestForgedTombstoneDeletesNothing puts tombstones into place that the owner did not sign for this
// tessera.
func TestForgedTombstoneDeletesNothing(t *testing.T) {
	h := newHouse(t)
	a, b := create(t, h, holiday(), "A"), create(t, h, holiday(), "B")
	stranger, err := tessera.SignTombstone(a.ID, time.Now(), newOwner(2))
	must(t, err)
	elsewhere, err := tessera.SignTombstone(b.ID, time.Now(), newOwner(1))
	must(t, err)
	for _, doc := range [][]byte{stranger.Bytes(), elsewhere.Bytes(), nil, []byte("junk"), make([]byte, 2*sidecar.MaxTombstone)} {
		must(t, h.plans.Write(a.ID, sidecar.Tombstone, doc))
		must(t, h.Recover(ctx))
		audit(t, h, a.ID, b.ID)
	}
}

// TestCancelledDeleteIsADeletion: what was left is done by Recover.
func TestCancelledDeleteIsADeletion(t *testing.T) {
	dir := t.TempDir()
	h := reopen(t, dir, houseOptions{})
	a := create(t, h, holiday(), "")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	must(t, h.Delete(cancelled, a.ID))
	if all, err := h.List(); err != nil || len(all) > 0 {
		t.Errorf("visible after deletion: %v, %v", all, err)
	}
	must(t, h.close())
	h = reopen(t, dir, houseOptions{})
	audit(t, h)
	wantObjects(t, h)
}
