package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// write appends a mark and the frames and syncs. When it fails, final says that the disk is in an
// unknown state; otherwise the segment is as it was.
func (j *Journal) write(frames []byte) (final bool, err error) {
	if j.size >= j.cfg.SegmentSize {
		if final, err := j.rotate(); err != nil {
			return final, err
		}
	}
	var b []byte
	if !j.marked {
		b = appendMark(b, j.size)
	}
	final, err = j.put(append(b, frames...))
	if err == nil {
		j.marked = false
	}
	return final, err
}

func (j *Journal) writeMark() (final bool, err error) {
	final, err = j.put(appendMark(nil, j.size))
	if err == nil {
		j.marked = true
	}
	return final, err
}

// put appends bytes durably. A write that fails, for want of space say, is taken back; a sync that
// fails is final.
func (j *Journal) put(b []byte) (final bool, err error) {
	if _, err := j.file.Write(b); err != nil {
		back := j.file.Truncate(j.size)
		return back != nil, errors.Join(err, back)
	}
	if err := j.file.Sync(); err != nil {
		return true, err
	}
	j.size += int64(len(b))
	return false, nil
}

// rotate ends the current segment and begins the next. When it fails the current one stays.
func (j *Journal) rotate() (final bool, err error) {
	if !j.marked {
		if final, err := j.writeMark(); err != nil {
			return final, err
		}
	}
	old := j.file
	if err := j.begin(j.number + 1); err != nil {
		return false, err
	}
	return false, old.Close()
}

// begin makes a new segment and turns to it.
func (j *Journal) begin(number int) error {
	name := j.name(number)
	if err := j.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := j.fs.OpenAppend(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, header)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), j.fs.Remove(name))
	}
	j.number, j.file, j.size, j.marked = number, f, int64(len(header)), false
	return nil
}

func (j *Journal) name(number int) string { return fmt.Sprintf("%s/%08d.log", j.dir, number) }
