// Package decisions answers: what was decided here, by whom, why, and would it be decided so again?
//
// It keeps the decisions of the policy engine on disk, within a bound, and reads them back: in words
// (Explain), asked once more (Replay), and asked of another policy (Diff). The log is a help for people,
// not a promise: what was recorded in the last second may be lost with the power.
//
// # Format
//
// The log is a folder of segments, 00000001.log and so on by ascending number; the last one is written,
// the others never change, and the oldest are removed where the log grows too large. A segment begins
// with the line "tesseras decisions 1\n"; then follow frames, all numbers big-endian:
//
//	length   u32   bytes of payload
//	checksum u32   CRC-32C over length and payload
//	payload  length bytes
//
// A payload is the length of a head as u32, the head as JSON, and then, their sizes listed in the head,
// bytes as they were passed: the question to the guards, the request, the response, and the response of
// each step. A torn tail is cut off when the log is opened.
package decisions

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/vfs"
)

var (
	// ErrNotFound tells that no such decision is kept.
	ErrNotFound = errors.New("no such decision is kept")
	// ErrAmbiguous tells that several decisions begin so.
	ErrAmbiguous = errors.New("several decisions begin so")
	// ErrDamaged is what every *DamageError is.
	ErrDamaged = errors.New("log of decisions is damaged")
	// ErrClosed tells that the log was closed.
	ErrClosed = errors.New("log of decisions is closed")
)

// DefaultKeep is how many bytes a log keeps by default.
const DefaultKeep = 64 << 20

// flushEvery is how long a decision stays in memory alone.
const flushEvery = time.Second

// Config says how to keep a log.
type Config struct {
	Keep int64 // bytes on disk, in all; 0 keeps nothing
	Log  *slog.Logger
}

// Log is an open log. It is safe for concurrent use.
type Log struct {
	fs   vfs.FS
	dir  string
	keep int64
	log  *slog.Logger

	flushing sync.Mutex // held while files are synced; taken before mu

	mu       sync.Mutex // guards below
	segments []segment  // oldest first; the last one is written
	total    int64      // bytes of all segments, pending ones included
	file     vfs.File   // of the last segment; nil before the first record and after a failure
	pending  []byte     // of the last segment, not written yet
	frames   uint64     // in pending
	ended    []vfs.File // of earlier segments, to be synced and closed
	dirty    bool       // something was written since the last sync
	named    bool       // a segment was made since the folder was synced
	failing  bool       // the last write failed
	lost     uint64     // records that could not be kept
	closed   bool
}

var (
	_ policy.Recorder = (*Log)(nil)
	_ policy.Mover    = (*Log)(nil)
)

// Open opens the log in a folder of a file system, making it where it is missing.
func Open(fsys vfs.FS, dir string, cfg Config) (*Log, error) {
	l := &Log{fs: fsys, dir: dir, keep: max(0, cfg.Keep), log: cfg.Log}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// Record keeps a decision. It waits for no disk; what cannot be kept is counted.
func (l *Log) Record(d policy.Decision) { l.add(encodeDecision(d)) }

// Moved keeps what became of a part of a placement.
func (l *Log) Moved(m policy.Move) { l.add(encodeMove(m)) }

// Lost is how many records could not be kept: larger than the whole log, or the disk failed.
func (l *Log) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Run flushes every second until ctx ends, and then once more.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		if err := l.Flush(); err != nil && !errors.Is(err, ErrClosed) {
			l.log.Warn("log of decisions", "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// Flush puts everything recorded so far on stable storage.
func (l *Log) Flush() error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	return l.flushAndUnlock()
}

// flushAndUnlock expects both locks held and lets go of mu before it waits for the disk.
func (l *Log) flushAndUnlock() error {
	l.writeLocked()
	ended, file, dirty, named := l.ended, l.file, l.dirty, l.named
	l.ended, l.dirty, l.named = nil, false, false
	l.mu.Unlock()
	var errs []error
	for _, f := range ended {
		errs = append(errs, f.Sync(), f.Close())
	}
	if dirty && file != nil {
		errs = append(errs, file.Sync())
	}
	if named {
		errs = append(errs, l.fs.SyncDir(l.dir))
	}
	return errors.Join(errs...)
}

// Close flushes and closes the log. Records from then on are dropped.
func (l *Log) Close() error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	err := l.flushAndUnlock()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}
