// Package journal answers: what happened here that nothing else on this disk could tell?
//
// It is a log of records that is only appended to: receipts, above all. A record is on stable storage
// when Append returns. The journal knows nothing of what records mean.
//
// # Format
//
// A journal is a folder of segments, journal/00000001.log and so on by ascending number; the last one
// is written, the others never change. A segment begins with the line "tesseras journal 1\n"; then
// follow frames, all numbers big-endian:
//
//	length   u32   bytes of payload, at most 1 MiB
//	checksum u32   CRC-32C over length, kind and payload
//	kind     u8
//	payload  length bytes
//
// Kind 0 is a mark: its payload is its own offset in the segment as a u64, and it says that all bytes
// before it were on stable storage when it was written. Every group of records that is written at once
// is preceded by one, and a clean end is one. So a bad frame with no mark behind it is the torn tail of
// a write that nobody was told had succeeded: it is cut off. A bad frame with a mark behind it is
// damage, which is never cut off and never passed over in silence.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tesseras/tesseras/host/vfs"
)

// MaxPayload is the largest payload in bytes.
const MaxPayload = 1 << 20

// DefaultSegmentSize is the size in bytes from which on a segment is followed by a new one.
const DefaultSegmentSize = 16 << 20

var (
	// ErrFailed tells that a sync failed earlier: what is on disk is uncertain, and nothing more is
	// written until the journal is opened again.
	ErrFailed = errors.New("an earlier journal write failed")
	// ErrDamaged is what every *DamageError is.
	ErrDamaged = errors.New("journal is damaged")
	// ErrClosed tells that the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrTooBig tells that a payload is larger than MaxPayload, or a kind not in 1 to 255.
	ErrTooBig = errors.New("not a record")
)

// DamageError says where a journal is damaged.
type DamageError struct {
	Segment string
	Offset  int64 // of the first bad byte
	Resumes int64 // of the mark behind the damage; 0 where no good frame follows
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d", ErrDamaged, e.Segment, e.Offset)
}

// Unwrap gives ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// Config says how to keep a journal. The zero value is good.
type Config struct {
	SegmentSize int64 // bytes; 0 is DefaultSegmentSize
	Logger      *slog.Logger
}

// Record is one entry.
type Record struct {
	Kind    byte // 1 to 255, whatever the users of the journal agree on
	Payload []byte
}

// Journal is an open journal. All its methods may be called at the same time.
type Journal struct {
	fs  vfs.FS
	dir string
	cfg Config

	mu      sync.Mutex // guards below; not held while writing
	group   *group     // what waits for being written
	writing bool       // somebody writes groups
	idle    *sync.Cond // writing became false
	closed  bool
	failed  error

	// The rest belongs to whoever set writing.
	number int      // of the current segment
	file   vfs.File // of the current segment
	size   int64    // of the current segment, all of it durable
	marked bool     // the current segment ends with a mark
}

// group is a number of records that are written and synced at once.
type group struct {
	frames []byte
	done   chan struct{}
	err    error // set before done is closed
}

// Open opens the journal in a folder of a file system, making it where it is missing. The torn tail
// of the last segment is cut off. Damage before that does not keep the journal from going on; Records
// tells of it with a *DamageError.
func Open(fsys vfs.FS, dir string, cfg Config) (*Journal, error) {
	if cfg.SegmentSize <= 0 {
		cfg.SegmentSize = DefaultSegmentSize
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Journal{fs: fsys, dir: dir, cfg: cfg}
	j.idle = sync.NewCond(&j.mu)
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

// Append adds a record and returns when it is on stable storage. Those who append at the same time
// share a sync. After an error the record may or may not be there.
func (j *Journal) Append(kind byte, payload []byte) error {
	if kind == kindMark || len(payload) > MaxPayload {
		return fmt.Errorf("append to journal: kind %d, %d bytes: %w", kind, len(payload), ErrTooBig)
	}
	if err := j.append(kind, payload); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

func (j *Journal) append(kind byte, payload []byte) error {
	j.mu.Lock()
	if err := j.usableLocked(); err != nil {
		j.mu.Unlock()
		return err
	}
	if j.group == nil {
		j.group = &group{done: make(chan struct{})}
	}
	g := j.group
	g.frames = appendFrame(g.frames, kind, payload)
	if !j.writing {
		j.writing = true
		j.writeGroupsLocked()
	}
	j.mu.Unlock()
	<-g.done
	return g.err
}

func (j *Journal) usableLocked() error {
	if j.closed {
		return ErrClosed
	}
	if j.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, j.failed)
	}
	return nil
}

// writeGroupsLocked writes group after group until none waits. It lets go of the lock while it writes,
// which is when the next group gathers.
func (j *Journal) writeGroupsLocked() {
	for j.group != nil {
		g := j.group
		j.group = nil
		err := j.failed
		if err == nil {
			j.mu.Unlock()
			var final bool
			final, err = j.write(g.frames)
			j.mu.Lock()
			if final {
				j.failed = err
			}
		}
		g.err = err
		close(g.done)
	}
	j.writing = false
	j.idle.Broadcast()
}

// Close waits for the records under way, marks the end and closes the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	j.closed = true
	for j.writing {
		j.idle.Wait()
	}
	var err error
	if j.failed == nil && !j.marked {
		_, err = j.writeMark()
	}
	return errors.Join(err, j.file.Close())
}
