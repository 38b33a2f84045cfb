package decisions

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	header    = "tesseras decisions 1\n"
	frameHead = 8        // length, checksum
	maxFrame  = 32 << 20 // bytes; a question and its answers are far smaller
)

// DamageError says where a segment is damaged; what follows in it is not read.
type DamageError struct {
	Segment string
	Offset  int64 // of the first bad frame
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d", ErrDamaged, e.Segment, e.Offset)
}

// Unwrap gives ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// frame completes a buffer whose first frameHead bytes are left free for the head.
func frame(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHead))
	binary.BigEndian.PutUint32(b[4:], checksum(b[:4], b[frameHead:]))
	return b
}

func checksum(length, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, table), table, payload)
}

// errFrame tells that there is no good frame.
var errFrame = errors.New("bad frame")

// frames reads the frames of a segment.
type frames struct {
	r    *bufio.Reader
	left int64
}

// newFrames checks the header; size is that of the segment.
func newFrames(r io.ReaderAt, size int64) (*frames, error) {
	f := &frames{bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<18), size - int64(len(header))}
	got := make([]byte, len(header))
	if _, err := io.ReadFull(f.r, got); err != nil || string(got) != header {
		return nil, errFrame
	}
	return f, nil
}

// next returns the payload of the next frame, which is the caller's; io.EOF after the last, errFrame
// where there is no good one.
func (f *frames) next() ([]byte, error) {
	if f.left == 0 {
		return nil, io.EOF
	}
	var head [frameHead]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return nil, errFrame
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > maxFrame || n > f.left-frameHead {
		return nil, errFrame
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(f.r, payload); err != nil || checksum(head[:4], payload) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errFrame
	}
	f.left -= frameHead + n
	return payload, nil
}

// intact is how many bytes of a segment are whole frames. Errors: ErrDamaged for a segment that does
// not begin as one.
func intact(r io.ReaderAt, size int64) (int64, error) {
	f, err := newFrames(r, size)
	if err != nil {
		return 0, ErrDamaged
	}
	for {
		if _, err := f.next(); err != nil {
			return size - f.left, nil
		}
	}
}
