package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// perm is what new files are made with.
const perm = 0o600

// Dir is the FS of a real folder. New files are readable by their owner only.
type Dir struct {
	root *os.Root
	self *os.File // the same folder
}

var _ FS = (*Dir)(nil)

// OpenDir opens an existing folder. No name given to the result leads out of it, not even through a
// symbolic link.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{root, self}, nil
}

// Close releases the folder. Open files stay open.
func (d *Dir) Close() error { return errors.Join(d.self.Close(), d.root.Close()) }

// Path is where the folder is.
func (d *Dir) Path() string { return d.root.Name() }

// Create implements FS.
func (d *Dir) Create(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open implements FS.
func (d *Dir) Open(name string) (File, error) { return d.open(name, os.O_RDONLY) }

// OpenAppend implements FS.
func (d *Dir) OpenAppend(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
}

func (d *Dir) open(name string, flag int) (File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if f, ok, err := openBeneath(d.self, name, flag, perm); err != nil {
		return nil, err
	} else if ok {
		return f, nil
	}
	f, err := d.root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename implements FS.
func (d *Dir) Rename(from, to string) error {
	for _, name := range []string{from, to} {
		if !fs.ValidPath(name) || name == "." {
			return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrInvalid}
		}
	}
	if ok, err := renameBeneath(d.self, from, to); ok {
		return err
	}
	return d.root.Rename(from, to)
}

// Remove implements FS.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// MkdirAll implements FS.
func (d *Dir) MkdirAll(name string) error { return d.root.MkdirAll(name, 0o700) }

// ReadDir implements FS.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Stat implements FS.
func (d *Dir) Stat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// SyncDir implements FS.
func (d *Dir) SyncDir(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", name, err)
	}
	return nil
}

// SyncAll implements FS.
func (d *Dir) SyncAll(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syncFileSystem(f); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", folder, err)
	}
	return nil
}

// Free implements FS.
func (d *Dir) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.root.Name(), &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.root.Name(), err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
