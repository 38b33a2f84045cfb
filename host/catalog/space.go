package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// Badger writes through mapped memory: where the disk is full it does not get an error but dies of
// SIGBUS. So before every transaction there must be room for all that Badger may be about to write:
// its log, two flushed tables of 4 MiB and a compaction between two lower levels, which is the floor, and
// a compaction of level 0, which may be any number of tables and is asked for. A ballast file gives up
// its room for what must still happen on a full disk: opening, closing and freeing.
const (
	writeFloor   = 64 << 20
	reclaimFloor = 24 << 20
	ballastName  = "ballast"
)

// space watches the room under an index. The catalog's writer lock guards it once it is open. All
// methods work on nil, which is an index in memory.
type space struct {
	dir     string
	ballast int64 // size in bytes, none when negative
	held    bool  // the ballast is there
	statfs  func(dir string) (free int64, err error)
	log     *slog.Logger
	// rewrites is how many bytes a compaction of level 0 would write now; set once the index is open.
	rewrites func() int64
}

// floor is the room in bytes below which nothing more is written to an open index.
func (s *space) floor() int64 { return writeFloor + s.rewrites() }

// guard refuses to write below the floor. Above it, it puts a ballast given up earlier back.
func (s *space) guard() error {
	if s == nil {
		return nil
	}
	free, err := s.free()
	if err != nil {
		return err
	}
	if floor := s.floor(); free < floor {
		return s.full(free, floor)
	} else if free >= floor+s.ballast {
		s.restore()
	}
	return nil
}

// guardReclaim lets through what frees space as long as it can.
func (s *space) guardReclaim() error {
	if s == nil {
		return nil
	}
	free, err := s.free()
	if err != nil || free >= s.floor() {
		return err
	}
	s.giveUp()
	if free, err = s.free(); err != nil {
		return err
	}
	if free < reclaimFloor {
		return s.full(free, reclaimFloor)
	}
	return nil
}

// beforeOpen makes room for what Badger writes when it opens.
func (s *space) beforeOpen() error {
	_, err := os.Stat(s.path())
	s.held = err == nil
	free, err := s.free()
	if err != nil {
		return err
	}
	if free >= writeFloor+s.ballast {
		s.restore()
		return nil
	}
	// Opening may begin with a compaction of level 0, however much that is: the ballast is its room. The
	// first write puts it back, if there is room for both.
	s.giveUp()
	if free, err = s.free(); err != nil {
		return err
	}
	if free < reclaimFloor {
		return s.full(free, reclaimFloor)
	}
	if free < writeFloor+s.ballast {
		s.log.Warn("disk under the index is nearly full, soon nothing more can be written", "free", free)
	}
	return nil
}

// beforeClose makes room for the last flush.
func (s *space) beforeClose() {
	if s == nil {
		return
	}
	if free, err := s.free(); err == nil && free < s.floor() {
		s.giveUp()
	}
}

func (s *space) full(free, floor int64) error {
	return fmt.Errorf("%w: %s free, %s needed", ErrDiskFull,
		humanize.IBytes(uint64(max(free, 0))), humanize.IBytes(uint64(floor)))
}

func (s *space) path() string { return filepath.Join(s.dir, ballastName) }

// free is the room in bytes that is left for an ordinary user.
func (s *space) free() (int64, error) { return s.statfs(s.dir) }

// statfs asks the file system under a folder.
func statfs(dir string) (free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (s *space) giveUp() {
	err := os.Remove(s.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("cannot give up the ballast", "err", err)
		return
	}
	s.held = false
}

// restore allocates the ballast. A node without ballast is worse protected but works, so a failure is
// only told.
func (s *space) restore() {
	if s.held || s.ballast < 0 {
		return
	}
	if err := allocate(s.path(), s.ballast); err != nil {
		os.Remove(s.path())
		s.log.Warn("cannot allocate the ballast", "err", err)
		return
	}
	s.held = true
}

// allocate makes a file whose blocks are really taken.
func allocate(path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := preallocate(f, size); err == nil {
		return f.Sync()
	}
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*i>>8 | 1)
	}
	for left := size; left > 0; left -= int64(len(block)) {
		if _, err := f.Write(block[:min(left, int64(len(block)))]); err != nil {
			return err
		}
	}
	return f.Sync()
}
