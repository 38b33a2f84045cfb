// Package crashfs answers: what would the disk hold if the power went now?
//
// It is a file system in memory that keeps apart what was written and what was made durable. At any
// moment Crash gives the disk that a machine would find after a loss of power: all that Sync and
// SyncDir acknowledged, and of the rest nothing, a part chosen at random, or everything. It is as
// unkind as the seam allows: the content of a file and each name in a folder become durable on their
// own and in any order, a file may have grown without its bytes, a rename between two folders may have
// happened in one of them only, and what a failed sync did not write no later sync writes.
//
// Any one of its calls can be made to fail, contents can rot, and with FAT it behaves like the file
// systems of memory sticks. It is for tests; all its methods may be called at the same time.
package crashfs

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/vfs"
)

// Options say what kind of disk it is. The zero value is a large one with POSIX manners.
type Options struct {
	// Size is how many bytes of content fit; 0 is 1 TiB.
	Size uint64
	// FAT makes names that differ in case the same, forbids the characters FAT32 forbids, and refuses to
	// rename over a file that is open.
	FAT bool
	// Now dates the files; nil is a clock that stands still.
	Now func() time.Time
}

// FS is a file system in memory.
type FS struct {
	opt   Options
	watch func(*Moment)

	mu     sync.Mutex // guards below and all nodes
	root   *node
	used   uint64
	calls  int
	failAt int
	with   error
	failed string
}

var _ vfs.FS = (*FS)(nil)

// New gives an empty file system.
func New(o Options) *FS {
	if o.Size == 0 {
		o.Size = 1 << 40
	}
	if o.Now == nil {
		o.Now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	}
	return &FS{opt: o, root: newFolder()}
}

// Watch has fn called before each call that changes what a loss of power would leave. Nothing changes
// until fn returns; it must not use the file system. Watch comes before everything else.
func (f *FS) Watch(fn func(*Moment)) { f.watch = fn }

// At shows fn this moment, as Watch does, and lets no other call in until fn returns.
func (f *FS) At(point string, fn func(*Moment)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&Moment{Call: point, fs: f})
}

// Moment is what Watch shows: the file system before a call.
type Moment struct {
	Call string // "rename", say
	Name string // of the file it changes
	fs   *FS
}

// Crash is FS.Crash at this moment.
func (m *Moment) Crash(keep Keep) *FS { return m.fs.crashLocked(keep) }

// Aftermath is FS.Aftermath at this moment.
func (m *Moment) Aftermath(rnd *rand.Rand) [Ways]*FS { return m.fs.aftermathLocked(rnd) }

// FailAt lets the nth call from now on fail once with an error; 0 is none. Closing counts too, and
// closes. A write that fails has written half, a sync that fails loses what it was to write.
func (f *FS) FailAt(n int, with error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt, f.with, f.failed = 0, n, with, ""
}

// Failed is the call that FailAt let fail, empty when there were fewer.
func (f *FS) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// callLocked counts a call and gives the error it is to fail with.
func (f *FS) callLocked(call, name string) error {
	f.calls++
	if f.calls != f.failAt {
		return nil
	}
	f.failed = call + " " + name
	return f.with
}

// changeLocked is callLocked for what changes the disk.
func (f *FS) changeLocked(call, name string) error {
	if f.watch != nil {
		f.watch(&Moment{Call: call, Name: name, fs: f})
	}
	return f.callLocked(call, name)
}

// Damage replaces the content of a file on the disk, as rot does.
func (f *FS) Damage(name string, change func(content []byte) []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("damage", name)
	if err != nil {
		return err
	}
	content := change(append([]byte(nil), n.data...))
	f.used = f.used - uint64(len(n.data)) + uint64(len(content))
	n.data, n.synced, n.shared = content, content, true
	return nil
}

// Content is what a file holds.
func (f *FS) Content(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("read", name)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), n.data...), nil
}

// Used is how many bytes of content the disk holds.
func (f *FS) Used() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used
}

// Files lists all files, sorted by path.
func (f *FS) Files() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.root.files("", nil)
}
