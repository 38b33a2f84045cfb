package tessera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

const (
	blockSize = 512
	// bufferSize is how much is read, hashed and written at once: enough for BLAKE3 to be at full
	// speed, and small enough to stay in a processor's cache.
	bufferSize = 256 << 10
	// readAhead is how much of a stream is read at once where headers and small files follow each
	// other; well below bufferSize, so that large files pass it by.
	readAhead = 64 << 10
	// maxTarHeader bounds what stands before an entry's content: two headers and the records between
	// them, which are a path and at most a block more.
	maxTarHeader = 2*blockSize + MaxPath + blockSize
	plainName    = 100     // bytes that the name field of a header holds
	plainTime    = 1 << 33 // seconds from which on a time does not fit into its field
)

// tarHeader is what stands before an entry in a tar stream: a USTAR header where the name is plain
// and the time a whole second that fits, else a PAX header, its records, and a USTAR header under a
// stand-in name. The bytes are part of the format, which is why they are made here and not by
// archive/tar, whose choices are its own.
type tarHeader struct {
	name  string // with a slash at its end for a folder
	size  int64
	mtime time.Time
	index int // place in the file list, from 0; names the stand-ins
}

func (h tarHeader) append(b []byte) []byte {
	number := strconv.Itoa(h.index)
	name, seconds := h.name, h.mtime.Unix()
	var records []byte
	if !plainTarTime(h.mtime) {
		records = appendRecord(records, "mtime", tarTime(h.mtime))
		seconds = min(max(seconds, 0), plainTime-1)
	}
	folder := strings.HasSuffix(h.name, "/")
	if !plainTarName(h.name) {
		records = appendRecord(records, "path", h.name)
		name = "contents/" + number
		if folder {
			name += "/"
		}
	}
	if len(records) > 0 {
		b = appendBlock(b, "names/"+number, 'x', 0o644, int64(len(records)), 0)
		b = append(b, records...)
		b = appendPadding(b, int64(len(records)))
	}
	if folder {
		return appendBlock(b, name, '5', 0o755, 0, seconds)
	}
	return appendBlock(b, name, '0', 0o644, h.size, seconds)
}

func plainTarName(name string) bool {
	if len(name) > plainName {
		return false
	}
	for i := range len(name) {
		if name[i] >= 0x80 {
			return false
		}
	}
	return true
}

func plainTarTime(t time.Time) bool {
	return t.Nanosecond() == 0 && 0 <= t.Unix() && t.Unix() < plainTime
}

// appendBlock writes one USTAR header.
func appendBlock(b []byte, name string, kind byte, mode, size, seconds int64) []byte {
	start := len(b)
	b = append(b, make([]byte, blockSize)...)
	h := b[start:]
	copy(h, name)
	putOctal(h[100:107], mode)
	putOctal(h[108:115], 0) // uid
	putOctal(h[116:123], 0) // gid
	putOctal(h[124:135], size)
	putOctal(h[136:147], seconds)
	copy(h[148:156], "        ")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	putOctal(h[329:336], 0) // device major
	putOctal(h[337:344], 0) // device minor
	var sum int64
	for _, c := range h {
		sum += int64(c)
	}
	putOctal(h[148:154], sum)
	h[154] = 0
	return b
}

// putOctal fills field with the digits of n, zeros first.
func putOctal(field []byte, n int64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = byte('0' + n&7)
		n >>= 3
	}
}

// parseOctal reads what putOctal wrote; anything else is false.
func parseOctal(field []byte) (n int64, ok bool) {
	for _, c := range field {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, true
}

// appendRecord writes one PAX record: its own length in bytes, a space, key=value and a newline.
func appendRecord(b []byte, key, value string) []byte {
	rest := len(" =\n") + len(key) + len(value)
	size := rest + len(strconv.Itoa(rest))
	size = rest + len(strconv.Itoa(size))
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = append(b, value...)
	return append(b, '\n')
}

// tarTime is a time in seconds since 1970, with as many decimals as it needs.
func tarTime(t time.Time) string {
	sec, nsec := t.Unix(), t.Nanosecond()
	if nsec == 0 {
		return strconv.FormatInt(sec, 10)
	}
	sign := ""
	if sec < 0 {
		sign, sec, nsec = "-", -(sec + 1), 1e9-nsec
	}
	digits := strconv.Itoa(1e9 + nsec)[1:]
	return sign + strconv.FormatInt(sec, 10) + "." + strings.TrimRight(digits, "0")
}

// padding is how many zeros follow size bytes of content.
func padding(size int64) int64 { return -size & (blockSize - 1) }

func appendPadding(b []byte, size int64) []byte { return append(b, make([]byte, padding(size))...) }

// What can be wrong with a file that was to have a certain size.
var (
	errShort = errors.New("it is shorter than recorded")
	errLong  = errors.New("it is longer than recorded")
)

// tarWriter writes a tar stream in large pieces.
type tarWriter struct {
	w      io.Writer
	buf    []byte         // what is not yet written; its capacity never changes
	hash   *digest.Hasher // of the last body
	one    [1]byte
	failed error // of w; told apart from failures of what is read
}

func newTarWriter(w io.Writer) *tarWriter {
	return &tarWriter{w: w, buf: make([]byte, 0, bufferSize), hash: digest.New()}
}

func (t *tarWriter) header(h tarHeader) error {
	if err := t.room(maxTarHeader); err != nil {
		return err
	}
	t.buf = h.append(t.buf)
	return nil
}

// body writes exactly size bytes of r and their padding; t.hash then holds their sum. Unless t.failed
// is set, an error is about r, which must be at its end after these bytes.
func (t *tarWriter) body(ctx context.Context, r io.Reader, size int64) error {
	t.hash.Reset()
	if size > int64(cap(t.buf)-len(t.buf)) {
		if err := t.flush(); err != nil {
			return err
		}
	}
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := t.buf[len(t.buf):min(int64(cap(t.buf)), int64(len(t.buf))+left)]
		if _, err := io.ReadFull(r, piece); err != nil {
			return orShort(err)
		}
		t.hash.Write(piece)
		t.buf = t.buf[:len(t.buf)+len(piece)]
		left -= int64(len(piece))
		if err := t.room(1); err != nil {
			return err
		}
	}
	if err := t.atEnd(r); err != nil {
		return err
	}
	return t.pad(size)
}

func orShort(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShort
	}
	return err
}

// atEnd also gives a reader that checks what it reads the chance to object.
func (t *tarWriter) atEnd(r io.Reader) error {
	_, err := io.ReadFull(r, t.one[:])
	if err == nil {
		return errLong
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// document writes a whole entry of short content.
func (t *tarWriter) document(ctx context.Context, name string, content []byte) error {
	h := tarHeader{name: name, size: int64(len(content)), mtime: time.Unix(0, 0)}
	if err := t.header(h); err != nil {
		return err
	}
	return t.body(ctx, bytes.NewReader(content), h.size)
}

func (t *tarWriter) pad(size int64) error {
	if err := t.room(blockSize); err != nil {
		return err
	}
	t.buf = appendPadding(t.buf, size)
	return nil
}

// end writes the two empty blocks that end a tar stream, and all that is not yet written.
func (t *tarWriter) end() error {
	if err := t.room(2 * blockSize); err != nil {
		return err
	}
	t.buf = append(t.buf, make([]byte, 2*blockSize)...)
	return t.flush()
}

// room makes room for n more bytes.
func (t *tarWriter) room(n int) error {
	if cap(t.buf)-len(t.buf) >= n {
		return nil
	}
	return t.flush()
}

func (t *tarWriter) flush() error {
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	if err != nil {
		t.failed = err
	}
	return err
}
