package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	for i := range 50 {
		update(t, c, func(tx *Tx) error { return tx.PutTessera(Tessera{ID: id(byte(i)), Files: i}) })
	}
	must(t, c.Close())
	c = openTemp(t, dir, Options{})
	view(t, c, func(tx *Tx) error {
		list, err := all(tx.Tesseras())
		same(t, len(list), 50)
		return err
	})
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	_, err := Open(dir, Options{LockWait: -1})
	wantError(t, err, ErrInUse)
	if pid := strconv.Itoa(os.Getpid()); !strings.Contains(err.Error(), "process "+pid) {
		t.Errorf("%q does not name process %s", err, pid)
	}
	opened := make(chan error)
	go func() {
		c, err := Open(dir, Options{LockWait: time.Minute, Ballast: -1})
		if err == nil {
			err = c.Close()
		}
		opened <- err
	}()
	must(t, c.Close())
	must(t, <-opened)
}

func TestNewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	view(t, c, func(tx *Tx) error {
		v, err := tx.Meta(metaVersion)
		same(t, string(v), "2")
		return err
	})
	update(t, c, func(tx *Tx) error { return tx.PutMeta(metaVersion, []byte("3")) })
	must(t, c.Close())
	_, err := Open(dir, Options{Ballast: -1})
	wantError(t, err, ErrNewerVersion)
	// The refusal lets go of the folder.
	_, err = Open(dir, Options{Ballast: -1, LockWait: -1})
	wantError(t, err, ErrNewerVersion)
}

// TestTheFormOfAnIndex: an older one is to be rebuilt, a newer one is nothing for us.
func TestTheFormOfAnIndex(t *testing.T) {
	for form, want := range map[string]error{"": ErrOutdated, "1": ErrOutdated, "3": ErrNewerVersion, "x": ErrDamaged} {
		dir := t.TempDir()
		c := openTemp(t, dir, Options{})
		update(t, c, func(tx *Tx) error {
			if form == "" {
				return tx.DropMeta(metaForm)
			}
			return tx.PutMeta(metaForm, []byte(form))
		})
		must(t, c.Close())
		_, err := Open(dir, Options{Ballast: -1})
		wantError(t, err, want)
	}
}

func TestNewerRowIsRefused(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		update(t, c, func(tx *Tx) error { return tx.set(tesseraKey(kindTessera, id(1)), enc{rowVersion + 1, 0}) })
		wantError(t, c.View(func(tx *Tx) error {
			_, err := tx.Tessera(id(1))
			return err
		}), ErrNewerVersion)
	})
}

// TestFlippedBitIsDetected flips one bit at a time in what a closed index consists of: opening must
// fail, never end the process and never give an index with fewer rows.
func TestFlippedBitIsDetected(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	for i := range 100 {
		update(t, c, func(tx *Tx) error { return tx.PutMeta(fmt.Sprint(i), []byte(strings.Repeat("x", i))) })
	}
	must(t, c.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("closing wrote no table")
	}
	flips := 0
	for _, file := range append(files, filepath.Join(dir, badger.ManifestFilename)) {
		content, err := os.ReadFile(file)
		must(t, err)
		for at := 0; at < len(content); at += 1 + len(content)/300 {
			bit := byte(1) << (at % 8)
			content[at] ^= bit
			must(t, os.WriteFile(file, content, 0o600))
			if err := verifyTables(dir, badger.DefaultOptions(dir)); err == nil {
				t.Errorf("byte %d of %s: not detected", at, filepath.Base(file))
			}
			if flips++; flips%40 == 0 {
				_, err := Open(dir, Options{Ballast: -1})
				wantError(t, err, ErrDamaged)
			}
			content[at] ^= bit
		}
		for _, size := range []int{0, 3, 7, len(content) / 2, len(content) - 1} {
			must(t, os.WriteFile(file, content[:size], 0o600))
			_, err := Open(dir, Options{Ballast: -1})
			wantError(t, err, ErrDamaged)
		}
		must(t, os.WriteFile(file, content, 0o600))
	}
	t.Logf("%d flipped bits", flips)
	view(t, openTemp(t, dir, Options{}), func(tx *Tx) error {
		_, err := tx.Meta("99")
		return err
	})
}

func TestIndexCacheBoundsTheCache(t *testing.T) {
	for _, size := range []int64{0, 1 << 20, 5 << 20} {
		want := size
		if size == 0 {
			want = DefaultIndexCache
		}
		c := openTemp(t, t.TempDir(), Options{IndexCache: size})
		if got := c.kv.(*disk).db.Opts().BlockCacheSize; got != want {
			t.Errorf("cache of %d bytes, want %d", got, want)
		}
	}
}

// TestKilledOverANewLog opens beside logs that were made and never given a size.
func TestKilledOverANewLog(t *testing.T) {
	dir := t.TempDir()
	c := openTemp(t, dir, Options{})
	update(t, c, func(tx *Tx) error { return tx.PutMeta("a", []byte("1")) })
	must(t, c.Close())
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		c = openTemp(t, dir, Options{})
		view(t, c, func(tx *Tx) error {
			_, err := tx.Meta("a")
			return err
		})
		must(t, c.Close())
	}
}

func TestFolderWithoutPermission(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(filepath.Join(file, "index"), Options{}); err == nil || !strings.Contains(err.Error(), "open index") {
		t.Errorf("opened below a file: %v", err)
	}
}
