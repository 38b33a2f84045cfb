package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const lockName = "in-use"

const lockPoll = 20 * time.Millisecond

// dirLock says that the index folder is ours. The operating system lets go of it when we die.
type dirLock struct{ f *os.File }

// lockDir waits up to wait for the lock, then gives ErrInUse and who has it.
func lockDir(dir string, wait time.Duration) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(wait)
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &dirLock{f}, errors.Join(f.Truncate(0), writeOwner(f))
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock: %w", err)
		}
		if time.Now().After(deadline) {
			defer f.Close()
			return nil, fmt.Errorf("%w%s", ErrInUse, whose(f))
		}
		time.Sleep(lockPoll)
	}
}

// release unlocks before it closes: a process that another goroutine is just starting has the file open too, until
// it runs its own program.
func (l *dirLock) release() {
	_ = unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
	l.f.Close()
}

func writeOwner(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// whose says which process has the lock, as far as that can be told.
func whose(f *os.File) string {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return ""
	}
	return " by process " + strconv.Itoa(pid)
}
