package tessera

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tesseras/tesseras/host/digest"
)

// Entry is one line of a file list: a file, or a folder with nothing in it.
type Entry struct {
	Path      string      // raw bytes, slash-separated, relative; see CheckPath
	Folder    bool        // an empty folder: no hash, no size, no media type
	Hash      digest.Hash // of the file's content
	Size      int64       // of the file in bytes
	ModTime   time.Time   // UTC
	MediaType string      // see MediaType
}

// FileList is the files of a tessera and its empty folders, sorted by the raw bytes of their paths.
type FileList []Entry

const (
	listKind   = "files"
	listHeader = "tesseras files 1\n"
	shortest   = len("folder - - 0000-01-01T00:00:00Z - a\n")
)

// Sort brings the list into its order.
func (l FileList) Sort() {
	slices.SortFunc(l, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
}

// Totals counts the files, the empty folders and the bytes of all files.
func (l FileList) Totals() (files, folders int, size int64) {
	for _, e := range l {
		if e.Folder {
			folders++
			continue
		}
		files++
		size += e.Size
	}
	return files, folders, size
}

// Check tells whether l is what a file list may hold: valid entries in their order, no path twice, no
// path below that of a file or of an empty folder, and within the limits.
func (l FileList) Check() error {
	var t tally
	for _, e := range l {
		if err := t.add(e); err != nil {
			return err
		}
	}
	return nil
}

// Encode gives the one spelling of a list that passes Check.
func (l FileList) Encode() []byte {
	b := make([]byte, 0, l.encodedSize())
	b = append(b, listHeader...)
	for _, e := range l {
		b = appendEntry(b, e)
	}
	return b
}

// encodedSize is the size of the encoded list in bytes; it does not depend on the hashes.
func (l FileList) encodedSize() int64 {
	var scratch []byte
	size := int64(len(listHeader))
	for _, e := range l {
		scratch = appendEntry(scratch[:0], e)
		size += int64(len(scratch))
	}
	return size
}

func appendEntry(b []byte, e Entry) []byte {
	if e.Folder {
		b = append(b, "folder - - "...)
		b = appendTime(b, e.ModTime)
		b = append(b, " - "...)
	} else {
		b = append(b, "file "...)
		b = hex.AppendEncode(b, e.Hash[:])
		b = append(b, ' ')
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, ' ')
		b = appendTime(b, e.ModTime)
		b = append(b, ' ')
		b = append(b, e.MediaType...)
		b = append(b, ' ')
	}
	b = appendEscaped(b, e.Path)
	return append(b, '\n')
}

// ParseFileList reads a file list. It accepts exactly what Encode writes of a list that passes Check.
func ParseFileList(b []byte) (FileList, error) {
	if err := atMost(listBytes, int64(len(b)), MaxList); err != nil {
		return nil, err
	}
	d := document{name: "file list", rest: b}
	d.version(listKind)
	// As many entries as there are lines, and as lines of that number can hold: a flood of newlines
	// asks for no more memory than the entries it could be.
	lines := min(bytes.Count(d.rest, []byte{'\n'}), len(d.rest)/shortest)
	list := make(FileList, 0, min(lines, MaxFiles+MaxFolders))
	var t tally
	for d.err == nil && len(d.rest) > 0 {
		e, err := parseEntry(d.value(""))
		if err == nil {
			err = t.add(e)
		}
		if err != nil {
			d.fail(err)
		}
		list = append(list, e)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return list, nil
}

var errFields = errors.New("want 'file' or 'folder', hash, size, time, media type and path, a space between")

func parseEntry(line []byte) (e Entry, err error) {
	var field [6][]byte
	if bytes.Count(line, []byte{' '}) != len(field)-1 {
		return Entry{}, errFields
	}
	for i := range field {
		field[i], line, _ = bytes.Cut(line, []byte{' '})
	}
	if e.ModTime, err = parseTime(field[3]); err != nil {
		return Entry{}, err
	}
	if len(field[5]) > len("%00")*MaxPath {
		return Entry{}, fmt.Errorf("a path of %d bytes", len(field[5]))
	}
	if e.Path, err = unescape(field[5]); err != nil {
		return Entry{}, err
	}
	switch string(field[0]) {
	case "file":
		err = parseFile(&e, field[1], field[2], field[4])
	case "folder":
		e.Folder = true
		if string(field[1]) != "-" || string(field[2]) != "-" || string(field[4]) != "-" {
			err = errFields
		}
	default:
		err = errFields
	}
	return e, err
}

func parseFile(e *Entry, hash, size, mediaType []byte) (err error) {
	if e.Hash, err = parseHash(hash); err != nil {
		return err
	}
	if e.Size, err = parseNumber(size, MaxBytes); err != nil {
		return err
	}
	e.MediaType = MediaType(e.Path)
	if e.MediaType != string(mediaType) {
		e.MediaType = string(mediaType) // only what is not in the table costs memory
	}
	return nil
}

// tally checks the entries of a list one by one, as they come, in memory that does not grow with them.
type tally struct {
	files, folders int
	bytes          int64
	last           string
	open           []string // earlier paths that last begins with, and last itself; shortest first
}

func (t *tally) add(e Entry) error {
	if err := checkEntry(e); err != nil {
		return atFile(e.Path, err)
	}
	if err := t.place(e.Path); err != nil {
		return atFile(e.Path, err)
	}
	if e.Folder {
		t.folders++
	} else {
		t.files++
		t.bytes += e.Size
	}
	return errors.Join(
		atMost(fileCount, int64(t.files), MaxFiles),
		atMost(folders, int64(t.folders), MaxFolders),
		atMost(fileBytes, t.bytes, MaxBytes),
	)
}

// place checks that p follows the last path and is not below an earlier one. All paths that begin
// with the same bytes stand together, so it suffices to remember those that p begins with.
func (t *tally) place(p string) error {
	if t.files+t.folders > 0 && p <= t.last {
		return fmt.Errorf("%w: it does not come after %q", ErrFormat, t.last)
	}
	for len(t.open) > 0 && !strings.HasPrefix(p, t.open[len(t.open)-1]) {
		t.open = t.open[:len(t.open)-1]
	}
	for _, earlier := range t.open {
		if p[len(earlier)] == '/' {
			return fmt.Errorf("%w: it is below %q, which is a file or an empty folder", ErrFormat, earlier)
		}
	}
	t.open = append(t.open, p)
	t.last = p
	return nil
}

func checkEntry(e Entry) error {
	if err := CheckPath(e.Path); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := CheckTime(e.ModTime); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if e.Folder {
		if !e.Hash.IsZero() || e.Size != 0 || e.MediaType != "" {
			return fmt.Errorf("%w: a folder with the particulars of a file", ErrFormat)
		}
		return nil
	}
	if e.Size < 0 {
		return fmt.Errorf("%w: a size of %d", ErrFormat, e.Size)
	}
	if !validMediaType(e.MediaType) {
		return fmt.Errorf("%w: %.40q is not a media type", ErrFormat, e.MediaType)
	}
	return nil
}
