package vfs

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// syncFileSystem makes all that is on the file system of an open file durable.
func syncFileSystem(f *os.File) error {
	if !tellsFailures() {
		return errors.ErrUnsupported
	}
	return with(f, unix.Syncfs)
}

// startWriting leaves it to Sync to tell failures that come later: the system remembers them. One that this call
// gives itself the system may have forgotten by then.
func startWriting(f *os.File, from, n int64) error {
	err := with(f, func(fd int) error { return unix.SyncFileRange(fd, from, n, unix.SYNC_FILE_RANGE_WRITE) })
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESPIPE):
		return nil // not to be had here
	case err != nil:
		return &fs.PathError{Op: "start writing", Path: f.Name(), Err: err}
	}
	return nil
}

// tellsFailures tells whether syncfs reports what could not be written. It does since Linux 5.8, which is
// told from those before by a call that came with it.
var tellsFailures = sync.OnceValue(func() bool {
	return unix.Faccessat2(unix.AT_FDCWD, "/", unix.F_OK, 0) == nil
})
