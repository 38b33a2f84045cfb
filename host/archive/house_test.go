package archive

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

var ctx = context.Background()

type testOwner struct{ key ed25519.PrivateKey }

func newOwner(n byte) testOwner {
	return testOwner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))}
}

func (o testOwner) Key() sdk.OwnerKey          { return sdk.OwnerKey(o.key.Public().(ed25519.PublicKey)) }
func (o testOwner) Sign(message []byte) []byte { return ed25519.Sign(o.key, message) }

// clock goes on by a second each time it is read, so that no two tesseras are alike by chance.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(2_000_000_000+c.seconds.Add(1), 0).UTC() }

// house is a data directory and all that an archive needs.
type house struct {
	*Archive
	dir string
	fs  *vfs.Dir         // nil where the directory is in memory
	mem *crashfs.FS      // the directory in memory
	own *catalog.Catalog // the catalog, when it closes with the house
	clk clock
}

type houseOptions struct {
	fs      func(vfs.FS) vfs.FS // wraps the file system
	disk    *crashfs.FS         // instead of a folder
	reached func(string)
	minFree uint64
	now     func() time.Time
	rows    *catalog.Catalog // instead of the one on disk; it stays open
}

// openHouse opens and recovers the archive of a data directory.
func openHouse(dir string, o houseOptions) (h *house, err error) {
	h, err = openDoors(dir, o)
	if err != nil {
		return nil, err
	}
	if err := h.Recover(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func openDoors(dir string, o houseOptions) (_ *house, err error) {
	h := &house{dir: dir, mem: o.disk}
	var fsys vfs.FS = o.disk
	if o.disk == nil {
		if h.fs, err = vfs.OpenDir(dir); err != nil {
			return nil, err
		}
		fsys = h.fs
	}
	if o.fs != nil {
		fsys = o.fs(fsys)
	}
	if o.now == nil {
		h.clk.seconds.Store(time.Now().UnixNano() % 1e9)
		o.now = h.clk.now
	}
	rows := o.rows
	if rows == nil {
		rows, err = catalog.Open(filepath.Join(dir, "index"), catalog.Options{Ballast: -1, Now: o.now})
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		h.own = rows
	}
	store, err := cas.New(fsys, cas.Config{MinFree: o.minFree})
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	plans, err := sidecar.Open(fsys, sidecar.Plans)
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	a, err := New(Deps{FS: fsys, CAS: store, Catalog: rows, Plans: plans, Owner: newOwner(1), Now: o.now}, Config{reached: o.reached})
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	h.Archive = a
	return h, nil
}

func (h *house) close() (err error) {
	if h.own != nil {
		err = h.own.Close()
	}
	if h.fs != nil {
		err = errors.Join(err, h.fs.Close())
	}
	return err
}

func newHouse(t testing.TB) *house { return reopen(t, t.TempDir(), houseOptions{}) }

func reopen(t testing.TB, dir string, o houseOptions) *house {
	t.Helper()
	h, err := openHouse(dir, o)
	must(t, err)
	t.Cleanup(func() {
		if err := h.close(); err != nil && !errors.Is(err, catalog.ErrClosed) {
			t.Error(err)
		}
	})
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

// tree is the files of a folder by path; a path that ends with a slash is an empty folder.
type tree map[string]string

func (f tree) bytes() (n int64) {
	for _, content := range f {
		n += int64(len(content))
	}
	return n
}

var someday = time.Unix(1_600_000_000, 5)

// stream gives a folder as it comes to the node.
func (f tree) stream(title string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "tesseras-folder")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, path := range slices.Sorted(maps.Keys(f)) {
		full, content := filepath.Join(dir, path), f[path]
		if strings.HasSuffix(path, "/") {
			err = os.MkdirAll(full, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(full), 0o700); err == nil {
			err = os.WriteFile(full, []byte(content), 0o600)
		}
		if err == nil {
			err = os.Chtimes(full, someday, someday)
		}
		if err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	inventory, err := tessera.Scan(ctx, root, tessera.ScanOptions{})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = tessera.WriteFolder(ctx, &b, root, title, inventory.Entries)
	return b.Bytes(), err
}

func (f tree) reader(t testing.TB, title string) *bytes.Reader {
	t.Helper()
	b, err := f.stream(title)
	must(t, err)
	return bytes.NewReader(b)
}

func create(t testing.TB, h *house, f tree, title string) Created {
	t.Helper()
	made, err := h.Create(ctx, f.reader(t, title))
	must(t, err)
	return made
}

func holiday() tree {
	return tree{
		"a.txt": "alpha", "b/c.jpg": strings.Repeat("picture", 9000), "b/d.jpg": strings.Repeat("movie", 300000),
		"empty.txt": "", "hollow/": "", "same 1.txt": "the same", "same 2.txt": "the same", "ü\n%.txt": "odd",
	}
}

// files lists what lies under a folder of the data directory.
func (h *house) files(folder string) (out []string, err error) {
	if h.mem != nil {
		return slices.DeleteFunc(h.mem.Files(), func(name string) bool { return !strings.HasPrefix(name, folder+"/") }), nil
	}
	err = filepath.WalkDir(filepath.Join(h.dir, folder), func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(p, h.dir+"/"))
		}
		return err
	})
	return out, err
}

// audit checks that index, objects and sidecars agree: every visible tessera is whole, nothing else
// is recorded, and every object row has its references and its file. It gives what is visible.
func (h *house) audit() (visible []sdk.TesseraID, err error) {
	all, err := h.List()
	if err != nil {
		return nil, err
	}
	want := map[catalog.BlobRef]bool{}
	var manifests []string
	for _, t := range all {
		visible = append(visible, t.ID)
		manifests = append(manifests, h.manifests.Path(t.ID, sidecar.Manifest))
		m, err := h.Manifest(t.ID)
		if err != nil {
			return nil, err
		}
		for _, e := range m.Entries {
			if !e.Folder {
				want[catalog.BlobRef{Tessera: t.ID, Memory: e.Hash, Name: e.Path, Hash: e.Hash, Size: e.Size}] = true
			}
		}
		if row(m) != t {
			return nil, fmt.Errorf("row %+v, want %+v", t, row(m))
		}
		if err := h.Verify(ctx, t.ID, Watch{}); err != nil {
			return nil, err
		}
		if dead, err := h.buried(t.ID); err != nil || dead {
			return nil, fmt.Errorf("%s is visible and has a tombstone: %w", t.ID, err)
		}
	}
	if err := h.auditRows(want); err != nil {
		return nil, err
	}
	found, err := h.files(sidecar.Tesseras)
	if err != nil || !slices.Equal(found, manifests) {
		return nil, fmt.Errorf("manifests %q, want %q: %w", found, manifests, err)
	}
	return visible, nil
}

func (h *house) auditRows(want map[catalog.BlobRef]bool) error {
	count := map[digest.Hash]int{}
	return h.catalog.View(func(tx *catalog.Tx) error {
		for b, err := range tx.AllBlobRefs() {
			if err != nil {
				return err
			}
			if !want[b] {
				return fmt.Errorf("a reference nobody needs: %+v", b)
			}
			delete(want, b)
			count[b.Hash]++
		}
		if len(want) > 0 {
			return fmt.Errorf("references are missing: %v", slices.Collect(maps.Keys(want)))
		}
		for o, err := range tx.Objects(digest.Hash{}) {
			if err != nil {
				return err
			}
			n, err := tx.RefCount(o.Hash)
			if err != nil || n != count[o.Hash] || n == 0 {
				return fmt.Errorf("object %s: %d references counted, %d rows, %w", o.Hash.Short(), n, count[o.Hash], err)
			}
			delete(count, o.Hash)
		}
		if len(count) > 0 {
			return fmt.Errorf("object rows are missing: %v", count)
		}
		for i, err := range tx.Intents() {
			return fmt.Errorf("an intent is left: %+v, %w", i, err)
		}
		for r, err := range tx.Released(digest.Hash{}) {
			return fmt.Errorf("a released object is left: %s, %w", r, err)
		}
		return nil
	})
}

func audit(t testing.TB, h *house, want ...sdk.TesseraID) {
	t.Helper()
	got, err := h.audit()
	must(t, err)
	slices.SortFunc(want, func(a, b sdk.TesseraID) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(got, want) {
		t.Fatalf("visible: %v, want %v", got, want)
	}
}

// wantObjects checks which contents have a file.
func wantObjects(t testing.TB, h *house, trees ...tree) {
	t.Helper()
	want := map[string]bool{}
	for _, f := range trees {
		for path, content := range f {
			if !strings.HasSuffix(path, "/") {
				want[cas.Path(digest.Of([]byte(content)))] = true
			}
		}
	}
	got, err := h.files("objects")
	must(t, err)
	if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(got, sorted) {
		t.Fatalf("objects %q\nwant %q", got, sorted)
	}
}

// unpacked reads a packed tar back into a tree.
type unpacked struct {
	m *tessera.Manifest
	f tree
}

func (u *unpacked) Manifest(m *tessera.Manifest) error {
	u.m, u.f = m, tree{}
	return nil
}

func (u *unpacked) Folder(e tessera.Entry) error {
	u.f[e.Path+"/"] = ""
	return nil
}

func (u *unpacked) File(e tessera.Entry, r io.Reader) error {
	b, err := io.ReadAll(r)
	u.f[e.Path] = string(b)
	return err
}
