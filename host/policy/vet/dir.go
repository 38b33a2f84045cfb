package vet

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// PrivateDir makes a folder that code is run from, if need be, and refuses one that others could
// write to.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var s unix.Stat_t
	if err := unix.Lstat(dir, &s); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR || s.Mode&0o022 != 0 || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s has to be a folder that only this user can write to", dir)
	}
	return nil
}
