//go:build !linux

package vfs

import (
	"errors"
	"os"
)

// syncFileSystem is not to be had here: sync(2) does not say when it has failed.
func syncFileSystem(*os.File) error { return errors.ErrUnsupported }
