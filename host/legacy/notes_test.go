package legacy

import (
	"errors"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
)

// TestWhatWasGivenUpDoesNotComeBack gives fragments up, one and then all, and makes the index anew each time.
func TestWhatWasGivenUpDoesNotComeBack(t *testing.T) {
	disk, rows := crashfs.New(crashfs.Options{}), newRows(t)
	notes := NewNotes(disk)
	must(t, notes.GiveUp(strayID, 1)) // where there is nothing
	tree := oldTree{shard(0): "first", shard(1): "second", shard(2): "third"}
	tree.write(t, disk)
	_, err := migrate(disk, rows, Config{})
	must(t, err)
	kept := func(disk *crashfs.FS) (n int) {
		rows := newRows(t)
		_, err := migrate(disk, rows, Config{})
		must(t, err)
		must(t, rows.View(func(tx *catalog.Tx) error {
			for _, err := range tx.Fragments(strayID) {
				must(t, err)
				n++
			}
			return nil
		}))
		return n
	}
	must(t, notes.GiveUp(strayID, 1, 9))
	if n := kept(disk.Crash(crashfs.Nothing())); n != 2 {
		t.Errorf("%d fragments came back, want 2", n)
	}
	must(t, notes.GiveUp(strayID))
	if n := kept(disk.Crash(crashfs.Nothing())); n != 0 {
		t.Errorf("%d fragments came back after all were given up", n)
	}
}

// TestWhatIsRecalledWithoutItsFileIsLost makes the index anew where an object is missing.
func TestWhatIsRecalledWithoutItsFileIsLost(t *testing.T) {
	file := "blobs/" + strayID.String() + "/" + digest.Of(nil).String() + "/letter.txt"
	tree := oldTree{shard(0): "is lost", shard(1): "is here", file: "is lost too"}
	disk := crashfs.New(crashfs.Options{})
	tree.write(t, disk)
	_, err := migrate(disk, newRows(t), Config{})
	must(t, err)
	must(t, errors.Join(disk.Remove(objectOf("is lost")), disk.Remove(objectOf("is lost too"))))
	rows := newRows(t)
	_, err = migrate(disk, rows, Config{})
	must(t, err)
	must(t, rows.View(func(tx *catalog.Tx) error {
		for name, content := range tree {
			d, err := tx.Damage(digest.Of([]byte(content)))
			if lost := err == nil && d.Lost; lost != (content != "is here") {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
			if err := referred(tx, name, digest.Of([]byte(content))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	}))
}
