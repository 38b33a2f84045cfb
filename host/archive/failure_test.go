package archive

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/vfs"
)

// disk fails at one of the operations that change it, or at all from that one on.
type disk struct {
	vfs.FS

	mu     sync.Mutex // guards below
	steps  int
	failAt int // 0 is never
	dead   bool
	with   error
}

func (d *disk) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps++
	if d.failAt > 0 && (d.steps == d.failAt || d.dead && d.steps > d.failAt) {
		return d.with
	}
	return nil
}

// failNext lets the nth operation from now on fail, and all after it when dead; 0 heals.
func (d *disk) failNext(n int, dead bool, with error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps, d.failAt, d.dead, d.with = 0, n, dead, with
}

func (d *disk) failed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps >= d.failAt
}

func (d *disk) Create(name string) (vfs.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.Rename(from, to)
}

func (d *disk) Remove(name string) error {
	if !strings.Contains(name, "/tmp/") { // what cannot be cleared now is cleared at the next start
		if err := d.step(); err != nil {
			return err
		}
	}
	return d.FS.Remove(name)
}

func (d *disk) MkdirAll(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.MkdirAll(name)
}

func (d *disk) SyncDir(name string) error {
	if _, err := d.FS.Stat(name); err != nil {
		return err
	}
	return d.step()
}

type diskFile struct {
	vfs.File
	d *disk
}

func (f *diskFile) Write(p []byte) (int, error) {
	if err := f.d.step(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *diskFile) Sync() error { return f.d.step() }

// TestEveryOperationFailsOnce lets each operation on the disk fail during a creation and a deletion,
// alone or with all that follow, and looks at what is there then and after the next start.
func TestEveryOperationFailsOnce(t *testing.T) {
	t.Parallel()
	stream, err := tree{"a": "alpha", "b": "beta", "same as b": "beta", "large": strings.Repeat("x", 600_000)}.stream("")
	must(t, err)
	cases := 0
	for at := 1; failOnce(t, fmt.Sprint("full at ", at), stream, at, false, syscall.ENOSPC); at++ {
		cases++
	}
	for at := 1; failOnce(t, fmt.Sprint("dead from ", at), stream, at, true, syscall.EIO); at += 2 {
		cases++
	}
	t.Logf("%d failures", cases)
}

func failOnce(t *testing.T, name string, stream []byte, at int, dead bool, with error) (failed bool) {
	t.Helper()
	rows, err := catalog.OpenMemory(catalog.Options{})
	must(t, err)
	defer rows.Close()
	dir, d := t.TempDir(), &disk{}
	options := houseOptions{rows: rows, fs: func(f vfs.FS) vfs.FS {
		d.FS = f
		return d
	}}
	h, err := openHouse(dir, options)
	must(t, err)
	kept := create(t, h, tree{"kept": "alpha"}, "")
	victim := create(t, h, tree{"victim": "going", "kept": "alpha"}, "")

	d.failNext(at, dead, with)
	made, err := h.Create(ctx, bytes.NewReader(stream))
	failed = d.failed()
	if !failed {
		must(t, err)
		d.failNext(at-d.steps, dead, with)
	}
	if err != nil && !errors.Is(err, with) {
		t.Fatalf("%s: %v", name, err)
	}
	created := err == nil
	err = h.Delete(ctx, victim.ID)
	failed = failed || d.failed()
	deleted := err == nil
	visible := deleted == false
	if err != nil && strings.Contains(err.Error(), "it is deleted") {
		visible = false
	}

	d.failNext(0, false, nil)
	all, err := h.List()
	must(t, err)
	if want := 1 + count(created) + count(visible); len(all) != want {
		t.Fatalf("%s: %d tesseras are visible, want %d", name, len(all), want)
	}
	must(t, h.close())
	h, err = openHouse(dir, options)
	must(t, err)
	defer h.close()
	now, err := h.audit()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !slices.Contains(now, kept.ID) || created != slices.Contains(now, made.ID) || deleted && slices.Contains(now, victim.ID) {
		t.Fatalf("%s: %v is left, created %v, deleted %v", name, now, created, deleted)
	}
	return failed
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
