package journal

import (
	"bytes"
	"errors"
	"strings"
)

// open finds the last segment, or begins the first.
func (j *Journal) open() error {
	if err := j.fs.MkdirAll(j.dir); err != nil {
		return err
	}
	if err := j.fs.SyncDir(parent(j.dir)); err != nil {
		return err
	}
	numbers, err := j.segments()
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return j.begin(1)
	}
	return j.resume(numbers[len(numbers)-1])
}

func parent(dir string) string {
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		return dir[:i]
	}
	return "."
}

// resume goes on with a segment after cutting off its torn tail.
func (j *Journal) resume(number int) error {
	name := j.name(number)
	b, err := j.readSegment(name)
	if err != nil {
		return err
	}
	if torn(b) {
		return j.begin(number) // died before the first record
	}
	if !bytes.HasPrefix(b, []byte(header)) {
		j.cfg.Logger.Error("a journal segment is damaged, leaving it and beginning another", "segment", name)
		return j.begin(number + 1)
	}
	good, marked := tail(b)
	f, err := j.fs.OpenAppend(name)
	if err != nil {
		return err
	}
	if good < int64(len(b)) {
		j.cfg.Logger.Warn("journal ended in the middle of a write, cutting that off", "segment", name, "bytes", int64(len(b))-good)
		if err := f.Truncate(good); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(f.Sync(), j.fs.SyncDir(j.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	j.number, j.file, j.size, j.marked = number, f, good, marked
	return nil
}

// torn tells that a segment holds nothing but a part of its header, or bytes never written under it.
func torn(b []byte) bool {
	if len(b) > len(header) {
		return false
	}
	return strings.HasPrefix(header, string(b)) && len(b) < len(header) || len(bytes.Trim(b, "\x00")) == 0
}

// tail gives the end of the last good frame of a segment, and whether that is a mark. Damage with a
// mark behind it is passed over: Records tells of it.
func tail(b []byte) (end int64, marked bool) {
	end = int64(len(header))
	for end < int64(len(b)) {
		kind, _, size := parseFrame(b[end:], end)
		if size > 0 {
			end, marked = end+int64(size), kind == kindMark
			continue
		}
		next, ok := findMark(b, end)
		if !ok {
			break
		}
		end = next
	}
	return end, marked
}
