package catalog

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestALockEndsWithItsOwner: what a process that is being started has open for a moment holds no lock.
func TestALockEndsWithItsOwner(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir, 0)
	must(t, err)
	inherited, err := unix.Dup(int(lock.f.Fd()))
	must(t, err)
	defer unix.Close(inherited)
	_, err = lockDir(dir, 0)
	wantError(t, err, ErrInUse)
	lock.release()
	again, err := lockDir(dir, 0)
	must(t, err)
	again.release()
}
