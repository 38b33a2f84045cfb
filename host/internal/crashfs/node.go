package crashfs

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// node is a file or a folder, apart from its names.
type node struct {
	folder bool
	mod    time.Time

	// of a folder, by folded name
	names   map[string]entry
	durable map[string]entry // as a loss of power would leave it at least

	// of a file
	data   []byte
	synced []byte // likewise; never changed in place
	shared bool   // data is somebody else's as well, so a write copies it first
	lost   bool   // a sync failed: what was not durable then never will be
	links  int    // names that lead here
	open   int    // open files
}

// entry is a name in a folder.
type entry struct {
	name string
	node *node
}

func newFolder() *node {
	return &node{folder: true, names: map[string]entry{}, durable: map[string]entry{}}
}

// own makes data this file's alone, so that it can be changed.
func (n *node) own() {
	if n.shared {
		n.data, n.shared = append(make([]byte, 0, len(n.data)+512), n.data...), false
	}
}

func (n *node) sortedNames() []string {
	out := make([]string, 0, len(n.names))
	for key := range n.names {
		out = append(out, key)
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(n.names[a].name, n.names[b].name) })
	return out
}

func (n *node) files(prefix string, out []string) []string {
	for _, key := range n.sortedNames() {
		e := n.names[key]
		if e.node.folder {
			out = e.node.files(prefix+e.name+"/", out)
			continue
		}
		out = append(out, prefix+e.name)
	}
	return out
}

// fold is the key of a name in its folder.
func (f *FS) fold(name string) string {
	if f.opt.FAT {
		return strings.ToLower(name)
	}
	return name
}

// forbidden are the characters no name on FAT32 has.
const forbidden = `"*:<>?\|`

// walkLocked finds the node of a path.
func (f *FS) walkLocked(call, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: call, Path: name, Err: fs.ErrInvalid}
	}
	n := f.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.folder {
			return nil, &fs.PathError{Op: call, Path: name, Err: syscall.ENOTDIR}
		}
		e, ok := n.names[f.fold(part)]
		if !ok {
			return nil, &fs.PathError{Op: call, Path: name, Err: fs.ErrNotExist}
		}
		n = e.node
	}
	return n, nil
}

// fileLocked finds a file.
func (f *FS) fileLocked(call, name string) (*node, error) {
	n, err := f.walkLocked(call, name)
	if err == nil && n.folder {
		err = &fs.PathError{Op: call, Path: name, Err: syscall.EISDIR}
	}
	return n, err
}

// folderLocked finds a folder.
func (f *FS) folderLocked(call, name string) (*node, error) {
	n, err := f.walkLocked(call, name)
	if err == nil && !n.folder {
		err = &fs.PathError{Op: call, Path: name, Err: syscall.ENOTDIR}
	}
	return n, err
}

// placeLocked finds the folder of a path and the last name in it, and what that leads to, if anything.
func (f *FS) placeLocked(call, name string) (parent *node, key string, old entry, err error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", entry{}, &fs.PathError{Op: call, Path: name, Err: fs.ErrInvalid}
	}
	parent, err = f.walkLocked(call, path.Dir(name))
	if err == nil && !parent.folder {
		err = syscall.ENOTDIR
	}
	if f.opt.FAT && strings.ContainsAny(path.Base(name), forbidden) {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, "", entry{}, &fs.PathError{Op: call, Path: name, Err: cause(err)}
	}
	key = f.fold(path.Base(name))
	return parent, key, parent.names[key], nil
}

// cause is what a path error wraps.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// unlinkLocked takes one name from a node.
func (f *FS) unlinkLocked(n *node) {
	n.links--
	f.dropLocked(n)
}

// dropLocked gives back the room of a file that no name leads to and nobody has open.
func (f *FS) dropLocked(n *node) {
	if !n.folder && n.links == 0 && n.open == 0 {
		f.used -= uint64(len(n.data))
	}
}

// info describes a node.
type info struct {
	name   string
	size   int64
	folder bool
	mod    time.Time
}

var _ fs.FileInfo = info{}

func (n *node) info(name string) info { return info{name, int64(len(n.data)), n.folder, n.mod} }

// Name implements fs.FileInfo.
func (i info) Name() string { return i.name }

// Size implements fs.FileInfo.
func (i info) Size() int64 { return i.size }

// Mode implements fs.FileInfo.
func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// ModTime implements fs.FileInfo.
func (i info) ModTime() time.Time { return i.mod }

// IsDir implements fs.FileInfo.
func (i info) IsDir() bool { return i.folder }

// Sys implements fs.FileInfo.
func (i info) Sys() any { return nil }
