package catalog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// fakeDisk has some room, of which the ballast takes its part.
type fakeDisk struct{ room int64 }

func (d *fakeDisk) statfs(dir string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, ballastName))
	if errors.Is(err, fs.ErrNotExist) {
		return d.room, nil
	}
	if err != nil {
		return 0, err
	}
	return d.room - info.Size(), nil
}

const testBallast = 4 << 20

func openOnDisk(t *testing.T, dir string, d *fakeDisk) (*Catalog, error) {
	t.Helper()
	return Open(dir, Options{Ballast: testBallast, Free: d.statfs})
}

func hasBallast(t *testing.T, dir string) bool {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, ballastName))
	if err == nil && info.Size() != testBallast {
		t.Fatalf("ballast of %d bytes", info.Size())
	}
	return err == nil
}

func put(c *Catalog) error {
	return c.Update(func(tx *Tx) error { return tx.PutMeta("a", []byte("1")) })
}

func TestFullDiskMakesReadOnly(t *testing.T) {
	dir, disk := t.TempDir(), &fakeDisk{room: 1 << 30}
	c, err := openOnDisk(t, dir, disk)
	must(t, err)
	defer c.Close()
	if !hasBallast(t, dir) {
		t.Fatal("no ballast on a disk with room")
	}
	must(t, put(c))
	disk.room = writeFloor + testBallast - 1
	wantError(t, put(c), ErrDiskFull)
	view(t, c, func(tx *Tx) error {
		_, err := tx.Meta("a")
		return err
	})

	// What frees space goes on, at the cost of the ballast, until that is used up as well.
	reclaim := func() error { return c.Reclaim(func(tx *Tx) error { return tx.DropMeta("a") }) }
	must(t, reclaim())
	if hasBallast(t, dir) {
		t.Error("freeing space did not give up the ballast")
	}
	disk.room = reclaimFloor - 1
	wantError(t, reclaim(), ErrDiskFull)

	disk.room = 1 << 30
	must(t, put(c))
	if !hasBallast(t, dir) {
		t.Error("the ballast did not come back with the room")
	}
}

// A compaction of level 0 writes all of it anew beside the old: room that is spoken for.
func TestFloorCountsLevelZero(t *testing.T) {
	disk := &fakeDisk{room: 1 << 30}
	c, err := openOnDisk(t, t.TempDir(), disk)
	must(t, err)
	defer c.Close()
	levelZero := int64(0)
	c.space.rewrites = func() int64 { return levelZero }
	disk.room = writeFloor + testBallast
	must(t, put(c))
	levelZero = 1
	wantError(t, put(c), ErrDiskFull)
	levelZero = 40 << 20
	disk.room += levelZero
	must(t, put(c))
}

func TestOpenOnFullDisk(t *testing.T) {
	dir, disk := t.TempDir(), &fakeDisk{room: 1 << 30}
	c, err := openOnDisk(t, dir, disk)
	must(t, err)
	must(t, put(c))
	must(t, c.Close())

	disk.room = reclaimFloor + testBallast
	c, err = openOnDisk(t, dir, disk)
	must(t, err)
	if hasBallast(t, dir) {
		t.Error("opening on a full disk kept the ballast")
	}
	view(t, c, func(tx *Tx) error {
		_, err := tx.Meta("a")
		return err
	})
	wantError(t, put(c), ErrDiskFull)
	must(t, c.Close())

	disk.room = reclaimFloor - 1
	_, err = openOnDisk(t, dir, disk)
	wantError(t, err, ErrDiskFull)
}

func TestAllocateWithoutPreallocation(t *testing.T) {
	path := filepath.Join(t.TempDir(), ballastName)
	must(t, allocate(path, 3<<20+5))
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() != 3<<20+5 {
		t.Errorf("%d bytes", info.Size())
	}
}
