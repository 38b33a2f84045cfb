package legacy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// The sizes of the suites of interrupted migrations.
var (
	powerSize = suite.PowerLegacy
	faultSize = suite.FaultLegacy
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oldTree is what lies in an old layout, by path.
type oldTree map[string]string

// newOldTree makes some tesseras of files and fragments that share contents.
func newOldTree(rnd *rand.Rand, tesseras, files int) oldTree {
	tree := oldTree{}
	for range tesseras {
		id := digest.Of([]byte(fmt.Sprint(rnd.Uint64())))
		for i := range files {
			content := strings.Repeat(fmt.Sprint("content ", rnd.IntN(tesseras*files)), rnd.IntN(30))
			if i%5 == 4 {
				tree[fmt.Sprintf("%s/%s/%03d%s", FragmentsFolder, id, i, ShardExtension)] = content
				continue
			}
			tree[fmt.Sprintf("%s/%s/%s/file %d.jpg", BlobsFolder, id, digest.Of([]byte(content)), i)] = content
		}
	}
	return tree
}

// write lays the tree on a disk, durable.
func (o oldTree) write(t testing.TB, disk vfs.FS) {
	t.Helper()
	for name, content := range o {
		must(t, disk.MkdirAll(path.Dir(name)))
		f, err := disk.Create(name)
		must(t, err)
		_, err = f.Write([]byte(content))
		must(t, errors.Join(err, f.Sync(), f.Close()))
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			must(t, disk.SyncDir(dir))
			if dir == "." {
				break
			}
		}
	}
}

// report is what a migration of the whole tree says.
func (o oldTree) report() (r Report) {
	tesseras, contents := map[string]bool{}, map[string]bool{}
	for name, content := range o {
		parts := strings.Split(name, "/")
		tesseras[parts[1]] = true
		if parts[0] == BlobsFolder {
			r.Files++
		} else {
			r.Fragments++
			r.Unplanned++
		}
		if contents[content] {
			r.Duplicates++
			r.BytesSaved += int64(len(content))
		}
		contents[content] = true
	}
	r.Tesseras = len(tesseras)
	return r
}

// home is a data directory being opened.
type home struct {
	Deps
	rows *catalog.Catalog
}

func openHome(disk vfs.FS, rows *catalog.Catalog) (*home, error) {
	store, err := cas.New(disk, cas.Config{})
	if err != nil {
		return nil, err
	}
	plans, err := sidecar.Open(disk, sidecar.Plans)
	if err != nil {
		return nil, err
	}
	return &home{Deps{
		FS: disk, Store: store, Catalog: rows, Documents: plans,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(1e9, 0) },
	}, rows}, nil
}

// migrate opens a data directory as a node does.
func migrate(disk vfs.FS, rows *catalog.Catalog, c Config) (Report, error) {
	h, err := openHome(disk, rows)
	if err != nil {
		return Report{}, err
	}
	return Open(context.Background(), h.Deps, c)
}

// over tells what is wrong with a data directory that a tree has come over to.
func (o oldTree) over(disk vfs.FS, rows *catalog.Catalog) error {
	for _, folder := range []string{BlobsFolder, FragmentsFolder} {
		if _, err := disk.Stat(folder); err == nil {
			return fmt.Errorf("%s is still there", folder)
		}
	}
	h, err := openHome(disk, rows)
	if err != nil {
		return err
	}
	for name, content := range o {
		hash := digest.Of([]byte(content))
		r, err := h.Store.Open(hash, int64(len(content)))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(r); err != nil || got.String() != content {
			return fmt.Errorf("%s holds other bytes: %w", name, err)
		}
		must := r.Close()
		if err := rows.View(func(tx *catalog.Tx) error { return referred(tx, name, hash) }); err != nil || must != nil {
			return fmt.Errorf("%s: %w", name, errors.Join(err, must))
		}
	}
	return nil
}

// referred tells whether there is a row for an old file.
func referred(tx *catalog.Tx, name string, hash digest.Hash) error {
	parts := strings.Split(name, "/")
	id, err := sdk.ParseTesseraID(parts[1])
	if err != nil {
		return err
	}
	if parts[0] == FragmentsFolder {
		var index int
		if _, err := fmt.Sscanf(parts[2], "%d", &index); err != nil {
			return err
		}
		f, err := tx.Fragment(id, index)
		if err == nil && f.Hash != hash {
			err = errors.New("another fragment is recorded")
		}
		return err
	}
	for b, err := range tx.BlobRefs(id) {
		if err != nil || b.Memory.String() == parts[2] && b.Name == parts[3] && b.Hash == hash {
			return err
		}
	}
	return errors.New("no reference")
}

func newRows(t testing.TB) *catalog.Catalog {
	t.Helper()
	rows, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	return rows
}

func TestEverythingComesOver(t *testing.T) {
	tree := newOldTree(rand.New(rand.NewPCG(suite.Seed(t), 0)), 60, 50)
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree.write(t, disk)
	r, err := migrate(disk, rows, Config{})
	must(t, err)
	if want := tree.report(); r != want || r.Duplicates == 0 {
		t.Errorf("report %+v, want %+v", r, want)
	}
	must(t, tree.over(disk, rows))
	// again there is nothing to do, and an index that was thrown away learns it all anew
	if r, err = migrate(disk, rows, Config{}); err != nil || r != (Report{}) {
		t.Errorf("again: %+v, %v", r, err)
	}
	rows = newRows(t)
	_, err = migrate(disk, rows, Config{})
	must(t, errors.Join(err, tree.over(disk, rows)))
}

func TestWhatDoesNotBelongStays(t *testing.T) {
	tree := newOldTree(rand.New(rand.NewPCG(1, 0)), 1, 5)
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	strange := oldTree{"blobs/readme.txt": "1", "fragments/" + strings.Repeat("ab", 32) + "/x.shard": "2", "blobs/" + strings.Repeat("ab", 32) + "/memory": "3"}
	tree.write(t, disk)
	strange.write(t, disk)
	r, err := migrate(disk, rows, Config{})
	must(t, err)
	if r.Left != len(strange) {
		t.Errorf("%d were left", r.Left)
	}
	for name, content := range strange {
		if got, err := disk.Content(name); err != nil || string(got) != content {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name := range tree {
		if _, err := disk.Content(name); err == nil {
			t.Errorf("%s is over and still there", name)
		}
	}
}

func TestTooLittleSpaceIsNoError(t *testing.T) {
	tree := oldTree{"blobs/" + strings.Repeat("ab", 32) + "/" + strings.Repeat("cd", 32) + "/f": strings.Repeat("x", 1000)}
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	tree.write(t, disk)
	h, err := openHome(disk, rows)
	must(t, err)
	h.Store, err = cas.New(disk, cas.Config{MinFree: 1 << 50})
	must(t, err)
	_, err = Open(t.Context(), h.Deps, Config{})
	must(t, err)
	if _, err := disk.Content("blobs/" + strings.Repeat("ab", 32) + "/" + strings.Repeat("cd", 32) + "/f"); err != nil {
		t.Error(err)
	}
	_, err = migrate(disk, rows, Config{})
	must(t, errors.Join(err, tree.over(disk, rows)))
}

// TestPowerLoss takes the power away before each call of a migration and at each of its points: nothing
// is lost then, and the next start ends with the same report as one that was never interrupted.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	cases := 0
	for cases < powerSize.Cases() {
		tree := newOldTree(rnd, 2, 5)
		disk, rows := crashfs.New(crashfs.Options{FAT: rnd.IntN(2) == 0}), newRows(t)
		tree.write(t, disk)
		look := func(at string, aftermath [crashfs.Ways]*crashfs.FS) {
			for way, left := range aftermath {
				cases++
				if err := tree.goOn(left, rows); err != nil {
					t.Errorf("power lost before %s (way %d): %v", at, way, err)
				}
			}
		}
		disk.Watch(func(m *crashfs.Moment) {
			if !t.Failed() {
				look(m.Call+" "+m.Name, m.Aftermath(rnd))
			}
		})
		_, err := migrate(disk, rows, Config{Reached: func(point string) {
			disk.At(point, func(m *crashfs.Moment) { look(point, m.Aftermath(rnd)) })
		}})
		must(t, err)
		must(t, tree.over(disk, rows))
		if t.Failed() {
			return
		}
	}
	powerSize.Executed(t, cases, "interruptions of a migration")
}

// goOn starts again from what an interruption left, with the index as it was then.
func (o oldTree) goOn(left *crashfs.FS, rows *catalog.Catalog) error {
	if err := o.somewhere(left); err != nil {
		return err
	}
	rows, err := rows.Fork()
	if err != nil {
		return err
	}
	_, err = left.Stat(BlobsFolder)
	_, err2 := left.Stat(FragmentsFolder)
	underWay := err == nil || err2 == nil
	r, err := migrate(left, rows, Config{})
	if err != nil {
		return err
	}
	if want := o.report(); underWay && r != want {
		return fmt.Errorf("report %+v, want %+v", r, want)
	}
	return o.over(left.Crash(crashfs.Nothing()), rows)
}

// somewhere tells whether every content is in its old place or an object.
func (o oldTree) somewhere(disk *crashfs.FS) error {
	for name, content := range o {
		old, _ := disk.Content(name)
		object, _ := disk.Content(cas.Path(digest.Of([]byte(content))))
		if string(old) != content && string(object) != content {
			return fmt.Errorf("%s is neither where it was nor an object", name)
		}
	}
	return nil
}

// TestEveryCallFails lets every single call of a migration fail once with each error of a disk.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	cases := 0
	tree := newOldTree(rand.New(rand.NewPCG(2, 2)), 1, 5)
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for at, failed := 1, true; failed; at++ {
			disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
			tree.write(t, disk)
			disk.FailAt(at, failure)
			_, err := migrate(disk, rows, Config{})
			call := disk.Failed()
			failed = call != ""
			disk.FailAt(0, nil)
			if err != nil && !errors.Is(err, failure) {
				t.Fatalf("%s fails: %v", call, err)
			}
			left := disk.Aftermath(rand.New(rand.NewPCG(uint64(at), 0)))[at%crashfs.Ways]
			if err := tree.goOn(left, rows); err != nil {
				t.Fatalf("%s failed with %v, then: %v", call, failure, err)
			}
			cases++
		}
	}
	faultSize.Executed(t, cases, "failed calls of a migration")
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	suite.CollectLess()
	os.Exit(m.Run())
}
