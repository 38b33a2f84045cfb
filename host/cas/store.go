// Package cas answers: is this content here, once and intact?
//
// An object is a content, named by its BLAKE3 and kept as exactly its bytes in
// objects/<2 hex>/<64 hex>.blob. The store owns these files and knows nothing of what needs them.
//
// # How an object comes and goes
//
// Coming: the content is written to a temporary file and hashed beside that. The file is synced, which
// need not wait for the hash; when both are through it is renamed to its name, and the folder is synced.
// From the moment the hash is known the object is pinned, and it stays so until whoever staged it has
// recorded the need for it, durably, and unpins it. The small ones of a batch take these steps in groups.
//
// Going: under the lock of the object's name, an object that is pinned or still needed stays;
// otherwise its file is unlinked. A pin is taken under the same lock. So either the pin came first and
// the object stays, or the unlink came first and the one who stages finds the file missing and writes
// it again. Needs are recorded before the pin goes, so a removal that finds no pin sees the need.
package cas

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/dustin/go-humanize"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

const (
	folder    = "objects"
	tmpFolder = folder + "/tmp"
	suffix    = ".blob"

	// tmpFolders is how many folders the temporary files are spread over: with one, those who write
	// side by side wait for each other's change of that folder.
	tmpFolders = 8
)

// ErrMissing tells that there is no object of this hash.
var ErrMissing = errors.New("object is missing")

// ErrDamaged tells that the object's file does not hold what its name says.
var ErrDamaged = errors.New("object is damaged")

// ErrNoSpace is what every *NoSpaceError is.
var ErrNoSpace = errors.New("too little free space")

// NoSpaceError tells that a write was refused before it began, because it would leave too little
// free space.
type NoSpaceError struct {
	Free uint64 // bytes free now
	Need uint64 // bytes the write needs, as far as known
	Keep uint64 // bytes that must stay free
}

func (e *NoSpaceError) Error() string {
	text := fmt.Sprintf("%v: %s free, %s must stay free", ErrNoSpace, humanize.IBytes(e.Free), humanize.IBytes(e.Keep))
	if e.Need > 0 {
		text += fmt.Sprintf(", and %s needed", humanize.IBytes(e.Need))
	}
	return text
}

// Unwrap gives ErrNoSpace.
func (e *NoSpaceError) Unwrap() error { return ErrNoSpace }

// DefaultWorkers is how many small files of a batch are made durable at the same time.
const DefaultWorkers = 64

// Config bounds what the store may use.
type Config struct {
	// MinFree is how many bytes every write must leave free on the disk.
	MinFree uint64
	// Workers is how many small files of a batch are made durable at the same time. 0 is
	// DefaultWorkers.
	Workers int
	// Together makes the small files of a batch durable by one sync of their file system for many, where
	// it has such a thing, instead of one for each. Nothing is acknowledged earlier for it.
	Together bool
	// Changed is told each object whose file was written, removed or moved, and returns at once. It may
	// be nil.
	Changed func(digest.Hash)

	// room is the size of a buffer in bytes; 0 is chunk. Tests take small ones.
	room int
	// few is below how many laid files each is synced by itself; 0 is fewer. Tests take less.
	few int
}

// Store keeps objects in a file system. All its methods may be called at the same time.
type Store struct {
	fs      vfs.FS
	cfg     Config
	run     string // makes the temporary names of this process its own
	seq     atomic.Uint64
	stripes [256]stripe // by the first byte of the hash
	folders folders
	temps   temps
	stats   stats
	rooms   chan []byte   // buffers of cfg.room bytes that are free to use
	behind  chan struct{} // a slot for each buffer that waits to be hashed
	repeats atomic.Bool   // the last content that came without its hash was here before
	trees   trees
}

// stripe guards the names of 1/256 of all objects.
type stripe struct {
	mu   sync.Mutex // guards pins, and is held over every unlink
	pins map[digest.Hash]int
}

// New opens the store in a file system and clears temporary files that an earlier process left. The
// caller sees to it that no other process uses the same file system.
func New(fsys vfs.FS, cfg Config) (*Store, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = DefaultWorkers
	}
	if cfg.few <= 0 {
		cfg.few = fewer
	}
	if cfg.room <= 0 {
		cfg.room = chunk
	}
	s := &Store{fs: fsys, cfg: cfg, run: rand.Text()[:8], folders: folders{fs: fsys}, temps: temps{live: map[string]bool{}}, rooms: make(chan []byte, maxRooms), behind: make(chan struct{}, maxBehind)}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	for i := range uint64(tmpFolders) {
		if err := s.fs.MkdirAll(tmpFolderOf(i)); err != nil {
			return err
		}
	}
	if err := s.fs.SyncDir("."); err != nil {
		return err
	}
	if err := s.folders.adopt(); err != nil {
		return err
	}
	for i := range uint64(tmpFolders) {
		if err := s.clear(tmpFolderOf(i)); err != nil {
			return err
		}
	}
	return nil
}

// clear removes all files of a folder.
func (s *Store) clear(dir string) error {
	left, err := s.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := s.fs.Remove(dir + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// changed tells who wants to know that the file of an object is another now, or none.
func (s *Store) changed(h digest.Hash) {
	if s.cfg.Changed != nil {
		s.cfg.Changed(h)
	}
}

// Room refuses, with a *NoSpaceError, a write of need bytes that would leave too little free space.
func (s *Store) Room(need uint64) error {
	free, err := s.fs.Free()
	if err != nil {
		return err
	}
	if free < s.cfg.MinFree || free-s.cfg.MinFree < need {
		return &NoSpaceError{Free: free, Need: need, Keep: s.cfg.MinFree}
	}
	return nil
}

// tempName is a name nobody else uses.
func (s *Store) tempName() string {
	n := s.seq.Add(1)
	return tmpFolderOf(n) + "/" + s.run + "-" + strconv.FormatUint(n, 10)
}

func tmpFolderOf(n uint64) string { return tmpFolder + "/" + strconv.FormatUint(n%tmpFolders, 16) }

// folderOf is the folder of an object.
func folderOf(h digest.Hash) string { return folder + "/" + hex.EncodeToString(h[:1]) }

// Path is where the object of a hash lies, relative to the root of the file system.
func Path(h digest.Hash) string { return folderOf(h) + "/" + h.String() + suffix }

func (s *Store) stripe(h digest.Hash) *stripe { return &s.stripes[h[0]] }

// pin keeps an object from being removed. Pins are counted.
func (s *Store) pin(h digest.Hash) {
	st := s.stripe(h)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.pins == nil {
		st.pins = make(map[digest.Hash]int)
	}
	st.pins[h]++
}

// Unpin takes one pin of a staged object back, once the need for it is recorded or given up.
func (s *Store) Unpin(h digest.Hash) {
	st := s.stripe(h)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.pins[h] > 1 {
		st.pins[h]--
		return
	}
	delete(st.pins, h)
}
