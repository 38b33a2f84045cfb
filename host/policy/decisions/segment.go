package decisions

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// segment is one file of the log.
type segment struct {
	number int
	size   int64 // bytes, pending ones included
}

const (
	suffix      = ".log"
	largest     = 4 << 20  // bytes from which on a segment is followed by a new one,
	smallest    = 64 << 10 // or a sixteenth of the log where that is less, but not less than this
	writeBehind = 64 << 10 // bytes that are written at once
)

func (l *Log) segmentSize() int64 { return min(max(l.keep/16, smallest), largest) }

func (l *Log) name(number int) string { return path.Join(l.dir, fmt.Sprintf("%08d%s", number, suffix)) }

// open finds the segments, cuts off a torn tail and keeps the bound.
func (l *Log) open() error {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return fmt.Errorf("open log of decisions: %w", err)
	}
	entries, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("open log of decisions: %w", err)
	}
	for _, e := range entries {
		number, ok := segmentNumber(e.Name())
		info, err := e.Info()
		if !ok || err != nil {
			continue
		}
		l.segments = append(l.segments, segment{number, info.Size()})
		l.total += info.Size()
	}
	if len(l.segments) > 0 {
		if err := l.resume(); err != nil {
			return fmt.Errorf("open log of decisions: %w", err)
		}
	}
	for l.total > l.keep && len(l.segments) > 0 {
		l.dropLocked()
	}
	if len(l.segments) == 0 && l.file != nil { // the last one was dropped, too
		err, l.file = l.file.Close(), nil
	}
	return err
}

func segmentNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	number, err := strconv.Atoi(digits)
	return number, ok && err == nil && len(digits) == 8 && number > 0
}

// resume makes the last segment ready for more. One whose beginning is not ours is left as it is.
func (l *Log) resume() error {
	last := &l.segments[len(l.segments)-1]
	f, err := l.fs.OpenAppend(l.name(last.number))
	if err != nil {
		return err
	}
	if last.size == 0 { // its header was never written
		last.size, l.file, l.pending = int64(len(header)), f, append(l.pending, header...)
		l.total += last.size
		return nil
	}
	good, err := intact(f, last.size)
	if errors.Is(err, ErrDamaged) {
		l.log.Warn("log of decisions", "segment", l.name(last.number), "err", err)
		return f.Close()
	}
	if err == nil && good < last.size {
		l.log.Info("log of decisions: cut off a torn tail", "segment", l.name(last.number), "bytes", last.size-good)
		err = f.Truncate(good)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.total += good - last.size
	last.size, l.file = good, f
	return nil
}

// add appends a frame to the log, and drops old segments to make room for it.
func (l *Log) add(frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(frame))
	switch {
	case n == 0:
		l.lost++
		return
	case l.closed || l.keep == 0:
		return
	case n+int64(len(header)) > l.keep || n > maxFrame:
		l.lost++
		l.log.Warn("a decision is too large to be kept", "bytes", n, "kept", l.keep)
		return
	}
	if err := l.makeRoomLocked(n); err != nil {
		l.failedLocked(err, 1)
		return
	}
	l.pending = append(l.pending, frame...)
	l.frames++
	l.segments[len(l.segments)-1].size += n
	l.total += n
	if len(l.pending) >= writeBehind {
		l.writeLocked()
	}
}

// makeRoomLocked makes sure that there is a segment to write to and that n bytes more keep the bound.
func (l *Log) makeRoomLocked(n int64) error {
	if l.file == nil || l.segments[len(l.segments)-1].size+n > l.segmentSize() {
		if err := l.nextSegmentLocked(); err != nil {
			return err
		}
	}
	for l.total+n > l.keep && len(l.segments) > 1 {
		l.dropLocked()
	}
	if l.total+n <= l.keep {
		return nil
	}
	if err := l.nextSegmentLocked(); err != nil {
		return err
	}
	l.dropLocked()
	return nil
}

// nextSegmentLocked ends the last segment and begins another. A segment that has nothing but its
// header goes on.
func (l *Log) nextSegmentLocked() error {
	if l.file != nil && l.segments[len(l.segments)-1].size == int64(len(header)) {
		return nil
	}
	l.endSegmentLocked()
	number := 1
	if len(l.segments) > 0 {
		number = l.segments[len(l.segments)-1].number + 1
	}
	f, err := l.fs.Create(l.name(number))
	if err != nil {
		return err
	}
	l.segments = append(l.segments, segment{number, int64(len(header))})
	l.total += int64(len(header))
	l.file, l.named, l.pending = f, true, append(l.pending[:0], header...)
	return nil
}

func (l *Log) endSegmentLocked() {
	if l.file == nil {
		return
	}
	l.writeLocked()
	if l.file != nil {
		l.ended, l.file = append(l.ended, l.file), nil
	}
}

// dropLocked removes the oldest segment.
func (l *Log) dropLocked() {
	oldest := l.segments[0]
	if err := l.fs.Remove(l.name(oldest.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("log of decisions", "err", err)
	}
	l.segments = l.segments[1:]
	l.total -= oldest.size
}

// writeLocked hands what is pending to the operating system. Where that fails it is lost, and the log
// goes on in another segment.
func (l *Log) writeLocked() {
	if len(l.pending) == 0 || l.file == nil {
		return
	}
	_, err := l.file.Write(l.pending)
	if err == nil {
		l.pending, l.frames, l.dirty, l.failing = l.pending[:0], 0, true, false
		return
	}
	last := &l.segments[len(l.segments)-1]
	last.size -= int64(len(l.pending))
	l.total -= int64(len(l.pending))
	err = errors.Join(err, l.file.Truncate(last.size)) // of a write that stopped half-way
	l.ended, l.file = append(l.ended, l.file), nil
	l.failedLocked(err, l.frames)
	l.pending, l.frames = l.pending[:0], 0
}

// failedLocked counts what is lost, and says so once until a write succeeds again.
func (l *Log) failedLocked(err error, records uint64) {
	l.lost += records
	if !l.failing {
		l.failing = true
		l.log.Warn("decisions are not kept", "err", err)
	}
}

// snapshot lists the segments as they can be read now.
func (l *Log) snapshot() []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeLocked()
	return append([]segment(nil), l.segments...)
}
