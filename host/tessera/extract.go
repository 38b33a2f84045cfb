package tessera

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/sdk"
)

// UnpackOptions says what UnpackTo is to write.
type UnpackOptions struct {
	// ID is the tessera expected; the stream of another one is ErrOtherTessera. Zero takes any.
	ID sdk.TesseraID
	// Documents adds a folder _tessera (or _tessera-1 ... where the tessera has that name itself) with
	// head, signature, file list, and a text that says how to read them.
	Documents bool
}

// UnpackTo reads what Pack wrote, checks it as Unpack does, and makes it a folder again, with the
// files' times. dest must be missing or an empty folder, or the error is ErrDestination. All is
// written beside dest under the name .<name>.partial-<random>, which one rename turns into dest at the
// end, when everything was found right; after an error it is removed.
//
// Where dest's file system takes two names for one (by folding case, say), the error is ErrCollision.
// The folder is not flushed to disk: call sync where that matters.
func UnpackTo(ctx context.Context, r io.Reader, dest string, o UnpackOptions) (*Manifest, error) {
	p, err := newPlace(dest)
	if err != nil {
		return nil, fmt.Errorf("unpack to %s: %w", dest, err)
	}
	defer p.close()
	m, err := p.fill(ctx, r, o)
	if err != nil {
		return nil, fmt.Errorf("unpack to %s: %w", dest, errors.Join(err, p.remove()))
	}
	return m, nil
}

// place is where a folder is to appear.
type place struct {
	parent  *os.Root
	name    string // of the destination in parent
	partial string // of the folder being filled in parent
	mode    fs.FileMode
}

func newPlace(dest string) (*place, error) {
	path, mode, err := destination(dest)
	if err != nil {
		return nil, err
	}
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	p := &place{parent: parent, name: filepath.Base(path), mode: mode}
	p.partial = partialName(p.name)
	if err := parent.Mkdir(p.partial, 0o777); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// destination gives the real path of dest, and its mode if it is there.
func destination(dest string) (path string, mode fs.FileMode, err error) {
	path, err = filepath.Abs(dest)
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", 0, fmt.Errorf("%w: it is a link to nothing", ErrDestination)
		}
		return path, 0, os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err != nil {
		return "", 0, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", 0, err
	}
	return path, info.Mode().Perm(), replaceable(path, info)
}

// replaceable tells whether a rename can put a folder in the place of what is there.
func replaceable(path string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%w: it is not a folder", ErrDestination)
	}
	children, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(children) > 0 {
		return fmt.Errorf("%w: it is not empty", ErrDestination)
	}
	if here, err := os.Stat("."); err == nil && os.SameFile(here, info) {
		return fmt.Errorf("%w: it is the folder you are in, name one to be made there", ErrDestination)
	}
	above, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if device(above) != device(info) || os.SameFile(above, info) {
		return fmt.Errorf("%w: it is the top of a file system, name a folder to be made there", ErrDestination)
	}
	return nil
}

func device(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Dev)
}

// partialName is not longer than a name may be.
func partialName(name string) string {
	return "." + name[:min(len(name), 200)] + ".partial-" + strings.ToLower(rand.Text()[:10])
}

func (p *place) close() { _ = p.parent.Close() }

func (p *place) remove() error { return p.parent.RemoveAll(p.partial) }

// fill makes the folder and moves it to its place.
func (p *place) fill(ctx context.Context, r io.Reader, o UnpackOptions) (*Manifest, error) {
	root, err := p.parent.OpenRoot(p.partial)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, want: o.ID}
	defer t.close()
	if err := Unpack(ctx, r, t); err != nil {
		return nil, err
	}
	if o.Documents {
		if err := t.documents(); err != nil {
			return nil, err
		}
	}
	if p.mode != 0 {
		if err := p.parent.Chmod(p.partial, p.mode); err != nil {
			return nil, err
		}
	}
	return t.manifest, p.commit()
}

// commit renames the folder. os.Rename would refuse to replace even an empty one.
func (p *place) commit() error {
	dir, err := p.parent.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	err = unix.Renameat(fd, p.partial, fd, p.name)
	switch err {
	case unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR, unix.EBUSY:
		return fmt.Errorf("%w: %w", ErrDestination, err)
	}
	return err
}

// tree is the Sink that writes a folder.
type tree struct {
	root     *os.Root
	want     sdk.TesseraID
	manifest *Manifest

	dir  string   // the folder of the last entry, "" for the top
	sub  *os.Root // of dir, nil for the top
	self *os.File // sub or the top, open to set times in it
}

var _ Sink = (*tree)(nil)

// Manifest implements Sink.
func (t *tree) Manifest(m *Manifest) error {
	if !t.want.IsZero() && m.ID() != t.want {
		return fmt.Errorf("%w: %s, not %s", ErrOtherTessera, m.ID(), t.want)
	}
	t.manifest = m
	return t.open("")
}

// Folder implements Sink.
func (t *tree) Folder(e Entry) error {
	name, err := t.enter(e.Path)
	if err != nil {
		return err
	}
	if err := taken(t.here().Mkdir(name, 0o777)); err != nil {
		return err
	}
	return t.setTime(name, e.ModTime)
}

// File implements Sink.
func (t *tree) File(e Entry, content io.Reader) error {
	name, err := t.enter(e.Path)
	if err != nil {
		return err
	}
	if err := create(t.here(), name, content); err != nil {
		return err
	}
	return t.setTime(name, e.ModTime)
}

// create writes a new file.
func create(dir *os.Root, name string, content io.Reader) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return taken(err)
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// taken tells that a name is another entry's here: nothing else can be in a folder just made.
func taken(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return ErrCollision
	}
	return err
}

func (t *tree) here() *os.Root {
	if t.sub != nil {
		return t.sub
	}
	return t.root
}

// enter makes the folder a path is in the current one and gives the path's name there. The entries of
// a folder follow each other, so a folder that is not above the last entry has to be new: if the name
// is taken all the same, the file system takes it for another one's.
func (t *tree) enter(path string) (name string, err error) {
	dir, name := splitPath(path)
	if dir == t.dir {
		return name, nil
	}
	for made := common(dir, t.dir); made < len(dir); {
		name, _, _ := strings.Cut(dir[made+1:], "/")
		made += 1 + len(name)
		if err := taken(t.root.Mkdir(dir[:made], 0o777)); err != nil {
			return "", err
		}
	}
	return name, t.open(dir)
}

// common is the length of the deepest folder that both a and b are or are in.
func common(a, b string) int {
	end := 0
	for i := range min(len(a), len(b)) + 1 {
		inA, inB := i == len(a) || a[i] == '/', i == len(b) || b[i] == '/'
		if inA && inB {
			end = i
		}
		if i == len(a) || i == len(b) || a[i] != b[i] {
			break
		}
	}
	return end
}

func (t *tree) open(dir string) (err error) {
	t.closeFolder()
	if dir != "" {
		if t.sub, err = t.root.OpenRoot(dir); err != nil {
			return err
		}
	}
	t.dir = dir
	t.self, err = t.here().Open(".")
	return err
}

// setTime also takes the years that os.Chtimes cannot, before 1678 and after 2262. A file system that
// keeps no times is no reason to be without the files.
func (t *tree) setTime(name string, when time.Time) error {
	stamp, err := unix.TimeToTimespec(when)
	if err != nil {
		return fmt.Errorf("set modification time: %w", err)
	}
	err = unix.UtimesNanoAt(int(t.self.Fd()), name, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	switch err {
	case nil, unix.EPERM, unix.ENOSYS, unix.ENOTSUP:
		return nil
	}
	return fmt.Errorf("set modification time: %w", err)
}

func (t *tree) closeFolder() {
	if t.self != nil {
		_ = t.self.Close() // read only
		t.self = nil
	}
	if t.sub != nil {
		_ = t.sub.Close() // read only
		t.sub = nil
	}
}

func (t *tree) close() {
	t.closeFolder()
	_ = t.root.Close()
}
