package vfs

import (
	"errors"
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

// tellsFailures tells whether syncfs reports what could not be written. It does since Linux 5.8, which is
// told from those before by a call that came with it.
var tellsFailures = sync.OnceValue(func() bool {
	return unix.Faccessat2(unix.AT_FDCWD, "/", unix.F_OK, 0) == nil
})
