package cas

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/vfs"
)

// disk is a folder in memory that knows what would survive a loss of power and can fail at any one of
// its operations.
type disk struct {
	vfs.FS
	t testing.TB

	mu         sync.Mutex // guards below
	dirtyFiles map[string]bool
	dirtyDirs  map[string]bool
	free       uint64
	steps      int
	failAt     int // the step to fail at; 0 is none
	failWith   error
	failed     string // the operation that failed
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	return &disk{FS: crashfs.New(crashfs.Options{}), t: t, dirtyFiles: map[string]bool{}, dirtyDirs: map[string]bool{}, free: 1 << 40}
}

func (d *disk) step(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps++
	if d.steps == d.failAt {
		d.failed = op
		return d.failWith
	}
	return nil
}

// failNext lets the nth operation from now on fail.
func (d *disk) failNext(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps, d.failAt, d.failWith, d.failed = 0, n, err, ""
}

func (d *disk) setFile(name string, dirty bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dirty {
		d.dirtyFiles[name] = true
		return
	}
	delete(d.dirtyFiles, name)
}

func (d *disk) setDir(name string, dirty bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dirty {
		d.dirtyDirs[name] = true
		return
	}
	delete(d.dirtyDirs, name)
}

// durable tells whether a file, its name and the names of its folders would survive.
func (d *disk) durable(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirtyFiles[name] {
		return false
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if d.dirtyDirs[dir] {
			return false
		}
		if dir == "." {
			return true
		}
	}
}

func (d *disk) Create(name string) (vfs.File, error) {
	if err := d.step("create " + path.Dir(name)); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name)
	if err != nil {
		return nil, err
	}
	d.setFile(name, true)
	d.setDir(path.Dir(name), true)
	return &diskFile{File: f, d: d, name: name}, nil
}

func (d *disk) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if err := d.step("open"); err != nil {
		f.Close()
		return nil, err
	}
	return &diskFile{File: f, d: d, name: name}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	d.mu.Lock()
	dirty := d.dirtyFiles[from]
	d.mu.Unlock()
	if dirty {
		d.t.Errorf("%s gets its name before its content is synced", to)
	}
	if err := d.FS.Rename(from, to); err != nil {
		return err
	}
	d.setFile(from, false)
	d.setDir(path.Dir(from), true)
	d.setDir(path.Dir(to), true)
	return nil
}

func (d *disk) Remove(name string) error {
	if !strings.HasPrefix(name, tmpFolder) { // what cannot be cleared now is cleared at the next start
		if err := d.step("remove"); err != nil {
			return err
		}
	}
	err := d.FS.Remove(name)
	if err == nil {
		d.setFile(name, false)
		d.setDir(path.Dir(name), true)
	}
	return err
}

func (d *disk) MkdirAll(name string) error {
	if err := d.step("mkdir"); err != nil {
		return err
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if _, err := d.FS.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			d.setDir(path.Dir(dir), true)
		}
	}
	return d.FS.MkdirAll(name)
}

func (d *disk) SyncDir(name string) error {
	if _, err := d.FS.Stat(name); err != nil {
		return err
	}
	if err := d.step("sync folder"); err != nil {
		return err
	}
	d.setDir(name, false)
	return nil
}

func (d *disk) SyncAll(folder string) error {
	if err := d.step("sync all"); err != nil {
		return err
	}
	d.mu.Lock()
	clear(d.dirtyFiles)
	d.mu.Unlock()
	return d.FS.SyncAll(folder)
}

func (d *disk) Free() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free, nil
}

// diskFile tells its disk what is not synced.
type diskFile struct {
	vfs.File
	d    *disk
	name string
}

func (f *diskFile) Write(p []byte) (int, error) {
	if err := f.d.step("write"); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	f.d.setFile(f.name, true)
	return f.File.Write(p)
}

func (f *diskFile) Read(p []byte) (int, error) {
	if err := f.d.step("read"); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.step("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *diskFile) Sync() error {
	if err := f.d.step("sync"); err != nil {
		return err
	}
	f.d.setFile(f.name, false)
	return nil
}

var diskErrors = []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}

// names lists every file of the store.
func (d *disk) names(t testing.TB) (names []string) {
	t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := d.FS.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if name := dir + "/" + e.Name(); e.IsDir() {
				walk(name)
			} else {
				names = append(names, name)
			}
		}
	}
	walk(folder)
	return names
}

// write puts content under a name, without any protocol, and durable.
func (d *disk) write(t testing.TB, name string, content []byte) {
	t.Helper()
	must(t, d.FS.MkdirAll(path.Dir(name)))
	if err := d.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := d.FS.Create(name)
	must(t, err)
	_, err = f.Write(content)
	must(t, err)
	must(t, f.Close())
}

func (d *disk) read(t testing.TB, name string) []byte {
	t.Helper()
	f, err := d.FS.Open(name)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
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
