package catalog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
)

const (
	envFull    = "TESSERAS_TEST_CATALOG_FULL"
	envStandIn = "TESSERAS_TEST_CATALOG_STANDIN"
	smallSize  = 200 << 20
)

var (
	// fullSize is at how many levels of fullness TestReallyFullDisk opens, writes, frees and closes.
	fullSize = suite.FullIndex
	// raceSize is how often TestDiskFilledWhileBadgerTidies fills the disk.
	raceSize = suite.FullIndexRace
)

// TestReallyFullDisk fills a small file system under the index to the last byte, and to many levels
// before that. A process that works there is told ErrDiskFull and lives: it reads, frees, closes and
// opens again, and nothing that was acknowledged is lost. Where no file system can be mounted, one that
// only says how full it is stands in.
func TestReallyFullDisk(t *testing.T) {
	t.Parallel()
	levels, ran := onSmallDisk(t, "work")
	fullSize.Executed(t, levels, "levels of a full disk on "+ran)
}

// TestDiskFilledWhileBadgerTidies has others take the last byte while a process writes, with no regard
// for what Badger is doing: the one case the ballast does not cover. The process may die then. Once
// there is room again the index opens with all that was acknowledged.
func TestDiskFilledWhileBadgerTidies(t *testing.T) {
	t.Parallel()
	fills, ran := onSmallDisk(t, "race")
	raceSize.Executed(t, fills, "times a disk was filled under a writer on "+ran)
}

// onSmallDisk runs a child over a small disk and gives the number it ends with, and what disk it was.
func onSmallDisk(t *testing.T, what string) (n int, ran string) {
	t.Helper()
	out, err := fullChild(t, what, inOwnRoom)
	ran = "a file system of its own"
	if err != nil && !strings.Contains(out, "mounted") {
		t.Logf("nothing can be mounted here: %v %s", err, out)
		out, err = fullChild(t, what, func(c *exec.Cmd) { c.Env = append(c.Env, envStandIn+"=1") })
		ran = "a stand-in"
	}
	if err != nil {
		t.Fatalf("on %s: %v\n%s", ran, err, out)
	}
	lines := strings.Fields(out)
	n, err = strconv.Atoi(lines[len(lines)-1])
	must(t, err)
	return n, ran
}

func fullChild(t *testing.T, what string, prepare func(*exec.Cmd)) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.CommandContext(t.Context(), exe, what)
	c.Env = append(os.Environ(), envFull+"="+t.TempDir())
	prepare(c)
	out, err := c.CombinedOutput()
	return string(out), err
}

// smallDisk is the file system under the index, and the file that others fill it with.
type smallDisk struct {
	dir    string
	filler string
	real   bool
}

// statfs says how much is free.
func (d *smallDisk) statfs(dir string) (free int64, err error) {
	if d.real {
		return statfs(dir)
	}
	used := int64(0)
	err = filepath.WalkDir(d.dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			used += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	return max(0, smallSize-used), err
}

// leave fills the disk until so many bytes are free.
func (d *smallDisk) leave(bytesFree int64) error {
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	free, err := d.statfs(d.dir)
	if err != nil || free <= bytesFree {
		return err
	}
	err = allocate(d.filler, free-bytesFree)
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// smallDiskChild is the child.
func smallDiskChild(dir, what string) error {
	d := &smallDisk{dir: dir, filler: filepath.Join(dir, "filler"), real: os.Getenv(envStandIn) == ""}
	f := &fullIndex{disk: d}
	if what == "write" {
		return f.write()
	}
	if d.real {
		if err := mountSmall(dir, strconv.Itoa(smallSize)); err != nil {
			return err
		}
		fmt.Println("mounted")
	}
	if what == "race" {
		return f.race()
	}
	return f.work()
}

// work does everything at every level.
func (f *fullIndex) work() error {
	if err := f.grow(); err != nil {
		return fmt.Errorf("growing until the disk is full: %w", err)
	}
	// A small index from here on, in which Badger has nothing to tidy up while others fill the disk.
	if err := errors.Join(os.RemoveAll(filepath.Join(f.disk.dir, "index")), f.begin()); err != nil {
		return err
	}
	levels := 0
	for ; levels < fullSize.Cases(); levels++ {
		left := int64(levels) * smallSize / 2 / int64(fullSize.Cases())
		if err := f.level(left); err != nil {
			return fmt.Errorf("with %d bytes left: %w", left, err)
		}
	}
	fmt.Println(levels)
	return nil
}

// fullIndex is an index on a small disk and what it acknowledged.
type fullIndex struct {
	disk  *smallDisk
	acked uint64
}

func (f *fullIndex) open() (*Catalog, error) {
	return Open(filepath.Join(f.disk.dir, "index"), Options{Free: f.disk.statfs})
}

// put writes a numbered row of some size.
func (f *fullIndex) put(c *Catalog, size int) error {
	value := bytes.Repeat(binary.BigEndian.AppendUint64(nil, f.acked+1), size/8)
	err := c.Update(func(tx *Tx) error { return tx.PutMeta(fmt.Sprint("row ", f.acked+1), value) })
	if err == nil {
		f.acked++
	}
	return err
}

// check reads all that was acknowledged.
func (f *fullIndex) check(c *Catalog) error {
	return c.View(func(tx *Tx) error {
		for n := range f.acked {
			value, err := tx.Meta(fmt.Sprint("row ", n+1))
			if err != nil || binary.BigEndian.Uint64(value) != n+1 {
				return fmt.Errorf("row %d of %d was acknowledged: %w", n+1, f.acked, err)
			}
		}
		return nil
	})
}

// grow writes until the index itself fills the disk.
func (f *fullIndex) grow() (err error) {
	c, err := f.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for err == nil {
		err = f.put(c, 256<<10)
	}
	if !errors.Is(err, ErrDiskFull) {
		return err
	}
	return f.check(c)
}

// begin makes a small index.
func (f *fullIndex) begin() error {
	f.acked = 0
	c, err := f.open()
	for range 20 {
		if err == nil {
			err = f.put(c, 1000)
		}
	}
	if err != nil {
		return err
	}
	return c.Close()
}

// level does all there is to do while only so much is free.
func (f *fullIndex) level(left int64) (err error) {
	if err := f.disk.leave(1 << 40); err != nil { // remove the filler
		return err
	}
	c, err := f.open()
	if err != nil {
		return err
	}
	if err := f.disk.leave(left); err != nil {
		return errors.Join(err, c.Close())
	}
	err = f.put(c, 1000)
	if err != nil && !errors.Is(err, ErrDiskFull) || err == nil && left < writeFloor {
		return errors.Join(fmt.Errorf("a write: %w", err), c.Close())
	}
	if err := errors.Join(f.check(c), f.free(c, left)); err != nil {
		return errors.Join(err, c.Close())
	}
	if err := c.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := f.disk.leave(left); err != nil {
		return err
	}
	return f.openFull()
}

// free does what frees space.
func (f *fullIndex) free(c *Catalog, left int64) error {
	err := c.Reclaim(func(tx *Tx) error { return tx.DropMeta("row of nobody") })
	if errors.Is(err, ErrDiskFull) && left+DefaultBallast < reclaimFloor {
		return nil
	}
	return err
}

// openFull opens on the full disk, which it may refuse.
func (f *fullIndex) openFull() error {
	c, err := f.open()
	if errors.Is(err, ErrDiskFull) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return errors.Join(f.check(c), c.Close())
}

// race has a process of its own write while the disk is filled, and looks at what is left.
func (f *fullIndex) race() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for n := range raceSize.Cases() {
		if err := errors.Join(f.disk.leave(1<<40), os.RemoveAll(filepath.Join(f.disk.dir, "index"))); err != nil {
			return err
		}
		c := exec.Command(exe, "write")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if f.acked, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				return err
			}
			if f.acked == 40+uint64(n%100) { // Badger has begun to write tables
				if err := f.disk.leave(0); err != nil {
					return err
				}
			}
		}
		_ = c.Wait() // it may have died of it
		if err := f.disk.leave(1 << 40); err != nil {
			return err
		}
		if err := f.openFull(); err != nil {
			return fmt.Errorf("after the disk was filled, %d rows: %w", f.acked, err)
		}
	}
	fmt.Println(raceSize.Cases())
	return nil
}

// write writes as fast as it can until it is told that the disk is full, or dies.
func (f *fullIndex) write() error {
	c, err := f.open()
	if err != nil {
		return err
	}
	for {
		if err := f.put(c, 200<<10); err != nil {
			return c.Close()
		}
		fmt.Println(f.acked)
	}
}
