package crashfs

import (
	"bytes"
	"io/fs"
	"maps"
	"path"
	"strings"
	"syscall"

	"github.com/tesseras/tesseras/host/vfs"
)

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked("create", name); err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	parent, key, old, err := f.placeLocked("create", name)
	if err != nil {
		return nil, err
	}
	if old.node != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return f.openLocked(name, f.addLocked(parent, key, name), true, false), nil
}

// addLocked makes a new file.
func (f *FS) addLocked(parent *node, key, name string) *node {
	n := &node{links: 1, mod: f.opt.Now()}
	parent.names[key] = entry{path.Base(name), n}
	return n
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("open", name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	n, err := f.fileLocked("open", name)
	if err != nil {
		return nil, err
	}
	return f.openLocked(name, n, false, false), nil
}

// OpenAppend implements vfs.FS.
func (f *FS) OpenAppend(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked("open to append", name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	parent, key, old, err := f.placeLocked("open", name)
	if err != nil {
		return nil, err
	}
	n := old.node
	if n == nil {
		n = f.addLocked(parent, key, name)
	}
	if n.folder {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	return f.openLocked(name, n, true, true), nil
}

func (f *FS) openLocked(name string, n *node, write, appending bool) *file {
	n.open++
	return &file{fs: f, name: name, node: n, write: write, append: appending}
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.changeLocked("rename", to)
	if err == nil {
		err = f.renameLocked(from, to)
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: from + " to " + to, Err: cause(err)}
	}
	return nil
}

func (f *FS) renameLocked(from, to string) error {
	source, oldKey, moved, err := f.placeLocked("rename", from)
	if err != nil {
		return err
	}
	target, newKey, over, err := f.placeLocked("rename", to)
	if err != nil {
		return err
	}
	switch {
	case moved.node == nil:
		return fs.ErrNotExist
	case moved.node.folder && strings.HasPrefix(to, from+"/"):
		return fs.ErrInvalid
	case moved.node == over.node:
		return nil
	case over.node == nil:
	case over.node.folder && len(over.node.names) > 0:
		return syscall.ENOTEMPTY
	case over.node.folder != moved.node.folder:
		return syscall.ENOTDIR
	case f.opt.FAT && over.node.open > 0:
		return syscall.EBUSY
	default:
		f.unlinkLocked(over.node)
	}
	delete(source.names, oldKey)
	target.names[newKey] = entry{path.Base(to), moved.node}
	return nil
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked("remove", name); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	parent, key, old, err := f.placeLocked("remove", name)
	switch {
	case err != nil:
		return err
	case old.node == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case len(old.node.names) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	delete(parent.names, key)
	f.unlinkLocked(old.node)
	return nil
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrInvalid}
	}
	if err := f.changeLocked("mkdir", name); err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	if name == "." {
		return nil
	}
	n := f.root
	for part := range strings.SplitSeq(name, "/") {
		e, ok := n.names[f.fold(part)]
		if !ok {
			e = entry{part, newFolder()}
			n.names[f.fold(part)] = e
		}
		if !e.node.folder {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		n = e.node
	}
	return nil
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("read folder", name); err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	n, err := f.folderLocked("readdir", name)
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, 0, len(n.names))
	for _, key := range n.sortedNames() {
		e := n.names[key]
		out = append(out, fs.FileInfoToDirEntry(e.node.info(e.name)))
	}
	return out, nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("stat", name); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	n, err := f.walkLocked("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(path.Base(name)), nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked("sync folder", name); err != nil {
		return &fs.PathError{Op: "sync", Path: name, Err: err}
	}
	n, err := f.folderLocked("sync", name)
	if err != nil {
		return err
	}
	n.durable = maps.Clone(n.names)
	return nil
}

// SyncAll implements vfs.FS.
func (f *FS) SyncAll(folder string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.changeLocked("sync all", folder)
	for _, name := range f.root.files("", nil) {
		n, _ := f.fileLocked("sync", name) // files lists what is there
		switch {
		case err != nil:
			n.lost = n.lost || !bytes.Equal(n.synced, n.data)
		case !n.lost:
			n.synced, n.shared = n.data, true
		}
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: folder, Err: err}
	}
	return nil
}

// Free implements vfs.FS.
func (f *FS) Free() (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("statfs", "."); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: ".", Err: err}
	}
	return f.opt.Size - min(f.used, f.opt.Size), nil
}
