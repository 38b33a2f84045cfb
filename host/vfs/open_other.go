//go:build !linux

package vfs

import "os"

// openBeneath leaves the work to os.Root.
func openBeneath(*os.File, string, int, uint32) (f *os.File, ok bool, err error) {
	return nil, false, nil
}

// renameBeneath leaves the work to os.Root.
func renameBeneath(*os.File, string, string) (ok bool, err error) { return false, nil }
