package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"syscall"

	"github.com/tesseras/tesseras/host/vfs"
)

// file is an open file.
type file struct {
	fs     *FS
	name   string
	node   *node
	write  bool
	append bool
	// the FS's lock guards below
	at     int64
	closed bool
}

var _ vfs.File = (*file)(nil)

func (f *file) fail(call string, err error) error {
	return &fs.PathError{Op: call, Path: f.name, Err: err}
}

// usableLocked counts a call and tells why it cannot be done.
func (f *file) usableLocked(call string, changes bool) error {
	count := f.fs.callLocked
	if changes {
		count = f.fs.changeLocked
	}
	if f.closed {
		return f.fail(call, fs.ErrClosed)
	}
	if changes && !f.write && call != "sync" {
		return f.fail(call, syscall.EBADF)
	}
	if err := count(call, f.name); err != nil {
		return f.fail(call, err)
	}
	return nil
}

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usableLocked("read", false); err != nil {
		return 0, err
	}
	n, err := f.readLocked(p, f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usableLocked("read", false); err != nil {
		return 0, err
	}
	return f.readLocked(p, off)
}

func (f *file) readLocked(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.fail("read", fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := copy(p, f.node.data[min(off, int64(len(f.node.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	off := f.at
	if f.append {
		off = int64(len(f.node.data))
	}
	n, err := f.writeLocked(p, off)
	f.at = off + int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < 0 || f.append {
		return 0, f.fail("write", fs.ErrInvalid)
	}
	return f.writeLocked(p, off)
}

// writeLocked writes as much as the disk has room for.
func (f *file) writeLocked(p []byte, off int64) (int, error) {
	err := f.usableLocked("write", true)
	if errors.Is(err, fs.ErrClosed) || errors.Is(err, syscall.EBADF) {
		return 0, err
	}
	if err != nil {
		p = p[:len(p)/2]
	}
	n := f.node
	old := int64(len(n.data))
	room := int64(min(f.fs.opt.Size-min(f.fs.used, f.fs.opt.Size), 1<<62))
	if grow := off + int64(len(p)) - old; grow > room {
		p = p[:max(0, int64(len(p))-(grow-room))]
		err = f.fail("write", syscall.ENOSPC)
	}
	if len(p) == 0 {
		return 0, err
	}
	n.own()
	if gap := off - int64(len(n.data)); gap > 0 {
		n.data = append(n.data, make([]byte, gap)...)
	}
	m := copy(n.data[off:], p)
	n.data = append(n.data, p[m:]...)
	n.mod = f.fs.opt.Now()
	f.fs.used += uint64(int64(len(n.data)) - old)
	return len(p), err
}

// Seek implements vfs.File.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += int64(len(f.node.data))
	}
	if offset < 0 {
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	f.at = offset
	return offset, nil
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usableLocked("sync", true); err != nil {
		f.node.lost = f.node.lost || !errors.Is(err, fs.ErrClosed)
		return err
	}
	if !f.node.lost {
		f.node.synced, f.node.shared = f.node.data, true
	}
	return nil
}

// StartWriting implements what vfs.StartWriting looks for. What a crash keeps of what is not synced is left to
// chance in any case.
func (f *file) StartWriting(int64, int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.usableLocked("start writing", true)
	f.node.lost = f.node.lost || err != nil && !errors.Is(err, fs.ErrClosed)
	return err
}

// Truncate implements vfs.File.
func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usableLocked("truncate", true); err != nil {
		return err
	}
	n := f.node
	old := len(n.data)
	n.own()
	if size <= int64(old) {
		n.data = n.data[:size]
	} else {
		n.data = append(n.data, make([]byte, size-int64(old))...)
	}
	f.fs.used = f.fs.used + uint64(len(n.data)) - uint64(old)
	return nil
}

// Stat implements vfs.File.
func (f *file) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usableLocked("stat", false); err != nil {
		return nil, err
	}
	return f.node.info(path.Base(f.name)), nil
}

// Close implements vfs.File.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.usableLocked("close", false)
	if errors.Is(err, fs.ErrClosed) {
		return err
	}
	f.closed = true
	f.node.open--
	f.fs.dropLocked(f.node)
	return err
}
