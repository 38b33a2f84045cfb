package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// Records gives every record from the first on. Where a segment is damaged it gives a *DamageError;
// the one who goes on then gets the records from the next mark on. The payload belongs to the caller.
// What is appended meanwhile may be given or not. A segment is held in memory at a time.
func (j *Journal) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		numbers, err := j.segments()
		if err != nil {
			yield(Record{}, fmt.Errorf("read journal: %w", err))
			return
		}
		for _, n := range numbers {
			if !j.segment(j.name(n), yield) {
				return
			}
		}
	}
}

// segment gives the records of one segment, and whether to go on.
func (j *Journal) segment(name string, yield func(Record, error) bool) bool {
	b, err := j.readSegment(name)
	if err != nil {
		return yield(Record{}, fmt.Errorf("read journal: %s: %w", name, err))
	}
	if !bytes.HasPrefix(b, []byte(header)) && !yield(Record{}, &DamageError{Segment: name}) {
		return false
	}
	at := int64(len(header))
	for at < int64(len(b)) {
		kind, payload, size := parseFrame(b[at:], at)
		if size > 0 {
			at += int64(size)
			if kind != kindMark && !yield(Record{kind, bytes.Clone(payload)}, nil) {
				return false
			}
			continue
		}
		resumes, ok := findMark(b, at)
		if !ok && j.isLast(name) {
			return true // somebody is appending just now
		}
		if !yield(Record{}, &DamageError{Segment: name, Offset: at, Resumes: resumes}) {
			return false
		}
		if !ok {
			return true
		}
		at = resumes
	}
	return true
}

func (j *Journal) isLast(name string) bool {
	numbers, err := j.segments()
	return err == nil && len(numbers) > 0 && j.name(numbers[len(numbers)-1]) == name
}

// readSegment reads a whole segment, up to a little more than a segment may grow to.
func (j *Journal) readSegment(name string) ([]byte, error) {
	f, err := j.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// segments lists the numbers of the segments, ascending.
func (j *Journal) segments() ([]int, error) {
	entries, err := j.fs.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		digits, _ := strings.CutSuffix(e.Name(), ".log")
		n, err := strconv.Atoi(digits)
		if err == nil && n > 0 && j.name(n) == j.dir+"/"+e.Name() {
			out = append(out, n)
		}
	}
	return out, nil
}
