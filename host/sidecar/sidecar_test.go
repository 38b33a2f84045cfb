package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// disk fails at one of its operations.
type disk struct {
	vfs.FS
	steps, failAt int
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	dir, err := vfs.OpenDir(t.TempDir())
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	return &disk{FS: dir}
}

func (d *disk) step() error {
	if d.steps++; d.steps == d.failAt {
		return syscall.ENOSPC
	}
	return nil
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

func (d *disk) MkdirAll(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.MkdirAll(name)
}

func (d *disk) SyncDir(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.SyncDir(name)
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func id(n byte) sdk.TesseraID { return sdk.TesseraID{n, 31: n} }

func TestWriteReadRemove(t *testing.T) {
	d := newDisk(t)
	s, err := Open(d, Plans)
	must(t, err)
	for n := range byte(20) {
		must(t, s.Write(id(n), Plan, []byte{n}))
		must(t, s.Write(id(n), Plan, fmt.Append(nil, "plan ", n)))
		if n%2 == 0 {
			must(t, s.Write(id(n), Tombstone, []byte("dead")))
		}
	}
	got, err := s.Read(id(7), Plan, 100)
	must(t, err)
	if string(got) != "plan 7" {
		t.Errorf("read %q", got)
	}
	if want := "plans/07/" + id(7).String() + ".plan"; s.Path(id(7), Plan) != want {
		t.Errorf("path %s", s.Path(id(7), Plan))
	}
	if _, err := s.Read(id(7), Plan, 5); !errors.Is(err, ErrTooBig) {
		t.Errorf("read beyond the limit: %v", err)
	}
	if _, err := s.Read(id(7), Tombstone, 100); !errors.Is(err, ErrNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
	must(t, s.Remove(id(8), Tombstone))
	must(t, s.Remove(id(8), Tombstone))
	must(t, s.Remove(id(99), Tombstone))

	var dead []sdk.TesseraID
	for id, err := range s.List(Tombstone) {
		must(t, err)
		dead = append(dead, id)
	}
	want := []sdk.TesseraID{id(0), id(2), id(4), id(6), id(10), id(12), id(14), id(16), id(18)}
	if !slices.Equal(dead, want) {
		t.Errorf("listed %v", dead)
	}
	for id, want := range map[sdk.TesseraID]bool{id(8): false, id(10): true} {
		if has, err := s.Has(id, Tombstone); err != nil || has != want {
			t.Errorf("has: %v, %v", has, err)
		}
	}
}

// TestEveryOperationFailsOnce: the document is the old one or the new one, whole, and nothing else is
// left behind.
func TestEveryOperationFailsOnce(t *testing.T) {
	before, after := []byte("before"), bytes.Repeat([]byte("after"), 1000)
	d := newDisk(t)
	s, err := Open(d, Tesseras)
	must(t, err)
	for at := 1; ; at++ {
		d.failAt = 0
		must(t, s.Write(id(1), Manifest, before))
		d.steps, d.failAt = 0, at
		err := s.Write(id(1), Manifest, after)
		if d.steps < at {
			must(t, err)
			break
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("step %d: %v", at, err)
		}
		got, err := s.Read(id(1), Manifest, 1<<20)
		must(t, err)
		if !bytes.Equal(got, before) && !bytes.Equal(got, after) {
			t.Fatalf("step %d left %d bytes", at, len(got))
		}
		left, err := d.ReadDir(path.Dir(s.tmp()) + "/tmp")
		must(t, err)
		if len(left) > 0 {
			t.Fatalf("step %d left a temporary file", at)
		}
	}
}

func TestConcurrentWritesLeaveOneWhole(t *testing.T) {
	s, err := Open(newDisk(t).FS, Tesseras)
	must(t, err)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 10 {
				if err := s.Write(id(1), Manifest, bytes.Repeat([]byte{byte(w)}, 3000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Read(id(1), Manifest, 1<<20)
	must(t, err)
	if len(got) != 3000 || !bytes.Equal(got, bytes.Repeat(got[:1], 3000)) {
		t.Error("a mixture")
	}
}

func TestOpenClearsTemporaryFiles(t *testing.T) {
	d := newDisk(t)
	s, err := Open(d, Tesseras)
	must(t, err)
	f, err := d.FS.Create(s.tmp() + "/left")
	must(t, err)
	must(t, f.Close())
	s, err = Open(d, Tesseras)
	must(t, err)
	left, err := d.ReadDir(s.tmp())
	must(t, err)
	if len(left) > 0 {
		t.Error("a temporary file is left")
	}
}
