package legacy

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/internal/crashfs"
)

// TestAFullIndexIsNoError opens beside an index that takes nothing more: first with an old tree, then,
// with an index made anew, with nothing but what was noted of it.
func TestAFullIndexIsNoError(t *testing.T) {
	free := int64(1 << 30)
	open := func() *catalog.Catalog {
		rows, err := catalog.Open(filepath.Join(t.TempDir(), "index"), catalog.Options{
			Ballast: -1, Free: func(string) (int64, error) { return free, nil },
		})
		must(t, err)
		t.Cleanup(func() { must(t, rows.Close()) })
		return rows
	}
	disk := crashfs.New(crashfs.Options{})
	tree := oldTree{shard(0): "first", shard(1): "second"}
	tree.write(t, disk)
	for _, what := range []string{"an old tree", "what was noted of it"} {
		free = 1 << 30
		rows := open()
		free = 30 << 20
		if err := rows.Update(func(tx *catalog.Tx) error { return tx.PutMeta("x", nil) }); !errors.Is(err, catalog.ErrDiskFull) {
			t.Fatalf("the index is not full: %v", err)
		}
		if _, err := migrate(disk, rows, Config{}); err != nil {
			t.Errorf("%s beside a full index: %v", what, err)
		}
		must(t, tree.somewhere(disk))
		free = 1 << 30
		_, err := migrate(disk, rows, Config{})
		must(t, errors.Join(err, tree.over(disk, rows)))
	}
}

// TestNoRoomAtAnyCallIsNoError lets the disk be full at each call once.
func TestNoRoomAtAnyCallIsNoError(t *testing.T) {
	tree := oldTree{shard(0): "first", shard(1): "second"}
	for at, failed := 1, true; failed; at++ {
		disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
		tree.write(t, disk)
		h, err := openHome(disk, rows)
		must(t, err)
		disk.FailAt(at, syscall.ENOSPC)
		_, err = Open(t.Context(), h.Deps, Config{})
		call := disk.Failed()
		failed = call != ""
		disk.FailAt(0, nil)
		if err != nil {
			t.Errorf("no room for %s: %v", call, err)
		}
		_, err = migrate(disk, rows, Config{})
		must(t, errors.Join(err, tree.over(disk, rows)))
	}
}
