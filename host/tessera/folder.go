package tessera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A folder travels to the node as a tar stream: an entry files/<path> for each entry of the list, in
// its order, and at last commit.txt. Only a stream with the last one is whole.
const (
	filesPrefix = "files/"
	commitName  = "commit.txt"
	commitKind  = "folder"
	maxCommit   = MaxHead
)

// commit is the content of the last entry.
type commit struct {
	title          string
	files, folders int
	bytes          int64
}

func (c commit) encode() []byte {
	b := []byte("tesseras folder 1\n" + titlePrefix)
	b = appendEscaped(b, c.title)
	b = append(b, "\nfiles: "...)
	b = strconv.AppendInt(b, int64(c.files), 10)
	b = append(b, "\nfolders: "...)
	b = strconv.AppendInt(b, int64(c.folders), 10)
	b = append(b, "\nbytes: "...)
	b = strconv.AppendInt(b, c.bytes, 10)
	return append(b, '\n')
}

func parseCommit(b []byte) (commit, error) {
	d := document{name: commitName, rest: b}
	d.version(commitKind)
	c := commit{
		title:   d.title(),
		files:   int(d.number("files: ", MaxFiles)),
		folders: int(d.number("folders: ", MaxFolders)),
		bytes:   d.number("bytes: ", MaxBytes),
	}
	return c, d.end()
}

// WriteFolder streams the entries of an Inventory of root to w, as ReadFolder reads them. Anything
// that is no longer as the scan saw it, or changes while it is read, ends the stream with a
// *ChangedError, without the mark that would let the receiver keep it.
func WriteFolder(ctx context.Context, w io.Writer, root *os.Root, title string, entries FileList) error {
	if err := errors.Join(CheckTitle(title), entries.Check()); err != nil {
		return err
	}
	f := folderWriter{tar: newTarWriter(w), folders: folderCache{root: root}}
	defer f.folders.close()
	for i, e := range entries {
		if err := f.entry(ctx, i, e); err != nil {
			return err
		}
	}
	c := commit{title: title}
	c.files, c.folders, c.bytes = entries.Totals()
	if err := f.tar.document(ctx, commitName, c.encode()); err != nil {
		return fmt.Errorf("stream folder: %w", err)
	}
	if err := f.tar.end(); err != nil {
		return fmt.Errorf("stream folder: %w", err)
	}
	return nil
}

type folderWriter struct {
	tar     *tarWriter
	folders folderCache
}

func (f *folderWriter) entry(ctx context.Context, index int, e Entry) error {
	err := f.write(ctx, index, e)
	switch {
	case err == nil || err == ctx.Err():
		return err
	case f.tar.failed != nil:
		return fmt.Errorf("stream folder: %w", err)
	}
	return atFile(e.Path, seenAsChange(e.Path, err))
}

// seenAsChange tells a file that changed from one that cannot be read.
func seenAsChange(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &ChangedError{Path: path, What: "it is gone", Err: err}
	case errors.Is(err, errShort), errors.Is(err, errLong):
		return &ChangedError{Path: path, What: err.Error(), Err: err}
	}
	return err
}

func (f *folderWriter) write(ctx context.Context, index int, e Entry) error {
	here, name, err := f.folders.of(e.Path)
	if err != nil {
		return err
	}
	info, err := here.Lstat(name)
	if err != nil {
		return err
	}
	if err := unchanged(e, info); err != nil {
		return err
	}
	h := tarHeader{name: filesPrefix + e.Path, size: e.Size, mtime: e.ModTime, index: index}
	if e.Folder {
		h.name += "/"
		return f.tar.header(h)
	}
	file, err := here.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := sameFile(e, file, info); err != nil {
		return err
	}
	if err := f.tar.header(h); err != nil {
		return err
	}
	if err := f.tar.body(ctx, file, e.Size); err != nil {
		return err
	}
	return sameFile(e, file, info)
}

// sameFile checks that an open file is the one info describes, and as the scan saw it.
func sameFile(e Entry, file *os.File, info fs.FileInfo) error {
	now, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, info) {
		return &ChangedError{Path: e.Path, What: "another file has taken its place"}
	}
	return unchanged(e, now)
}

func unchanged(e Entry, info fs.FileInfo) error {
	changed := func(format string, args ...any) error {
		return &ChangedError{Path: e.Path, What: fmt.Sprintf(format, args...)}
	}
	switch {
	case info.IsDir() != e.Folder:
		return changed("file and folder were exchanged")
	case !e.Folder && !info.Mode().IsRegular():
		return changed("it is no longer a file, but %s", kindOf(info.Mode()))
	case !e.Folder && info.Size() != e.Size:
		return changed("it had %d bytes, now it has %d", e.Size, info.Size())
	case !info.ModTime().Equal(e.ModTime):
		return changed("it was modified at %s", info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// folderCache keeps the folder of the last path open, because the next path is most often in the same
// one. Paths are of a checked list, so none leads out of the root.
type folderCache struct {
	root *os.Root
	dir  string
	sub  *os.Root // of dir; nil for the top
}

// of gives the folder a path is in, and the path's name there. The folder is valid until the next call.
func (c *folderCache) of(path string) (*os.Root, string, error) {
	dir, name := splitPath(path)
	if dir == "" {
		return c.root, name, nil
	}
	if c.sub != nil && c.dir == dir {
		return c.sub, name, nil
	}
	c.close()
	sub, err := c.root.OpenRoot(dir)
	if err != nil {
		if info, err := c.root.Lstat(dir); err == nil && !info.IsDir() {
			return nil, "", syscall.ENOTDIR
		}
		return nil, "", err
	}
	c.sub, c.dir = sub, dir
	return sub, name, nil
}

func (c *folderCache) close() {
	if c.sub != nil {
		_ = c.sub.Close() // read only
		c.sub = nil
	}
}
