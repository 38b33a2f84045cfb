package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tesseras/tesseras/host/policy/vet"
)

// A room is the folder of one program while it runs: its copy, its socket, its temporary files. A lock
// that dies with this process tells whether the room is in use, so that whoever comes next can clear
// what a killed host left.
type room struct {
	dir  string
	lock *os.File
}

const (
	roomPrefix  = "p-"
	lockName    = "lock"
	programName = "program"
	unfinished  = time.Minute // after which a room without a lock is nobody's
)

// newRoom clears what is left in dir of hosts that are gone, and makes a room there.
func newRoom(dir string) (r *room, err error) {
	if err := vet.PrivateDir(dir); err != nil {
		return nil, err
	}
	sweep(dir)
	r = &room{}
	if r.dir, err = os.MkdirTemp(dir, roomPrefix); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.lock, err = os.Create(filepath.Join(r.dir, lockName+".new")); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, &fs.PathError{Op: "lock", Path: r.lock.Name(), Err: err}
	}
	return r, os.Rename(r.lock.Name(), filepath.Join(r.dir, lockName))
}

func (r *room) close() error {
	err := os.RemoveAll(r.dir)
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
	}
	return err
}

// tidy removes what an earlier run of the program left: sockets, temporary files.
func (r *room) tidy() {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != programName {
			_ = os.RemoveAll(filepath.Join(r.dir, e.Name()))
		}
	}
}

func (r *room) program() string { return filepath.Join(r.dir, programName) }

// sweep removes the rooms of hosts that are gone. Errors are left for the next one to meet.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), roomPrefix) && abandoned(path) {
			_ = os.RemoveAll(path)
		}
	}
}

func abandoned(room string) bool {
	f, err := os.Open(filepath.Join(room, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(room)
		return err == nil && time.Since(info.ModTime()) > unfinished
	}
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// copyProgram takes a private copy, so that what was checked is what runs, now and at each restart. It
// returns the digest.
func (r *room) copyProgram(path string, most int64) (digest []byte, err error) {
	from, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	info, err := from.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no file", ErrProgram, path)
	case info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("%w: %s may not be executed", ErrProgram, path)
	}
	to, err := os.OpenFile(r.program(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, h), io.LimitReader(from, most+1))
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrProgram, path, most)
	}
	return h.Sum(nil), nil
}

func checkDigest(sum []byte, want string) error {
	if got := hex.EncodeToString(sum); want != "" && want != got {
		return fmt.Errorf("%w: its sha256 is %s", ErrDigest, got)
	}
	return nil
}
