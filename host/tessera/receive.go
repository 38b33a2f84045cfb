package tessera

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReadFolder receives what WriteFolder sent. It calls file for each entry in the order of the list,
// complete but for the hash; body is its content, nil for a folder, and valid until file returns. What
// file does not read is skipped.
//
// Nobody may keep anything of it before ReadFolder returns without an error: only then was the stream
// whole. ErrIncomplete tells that it was not, a *LimitError that it would be more than a tessera holds.
func ReadFolder(ctx context.Context, r io.Reader, file func(e Entry, body io.Reader) error) (title string, err error) {
	f := folderReader{tar: tar.NewReader(bufio.NewReaderSize(r, readAhead)), file: file}
	for !f.committed {
		if err := f.next(ctx); err != nil {
			return "", fmt.Errorf("receive folder: %w", err)
		}
	}
	switch _, err := f.tar.Next(); err {
	case io.EOF:
		return f.title, nil
	case nil:
		return "", fmt.Errorf("receive folder: %w: more follows after %s", ErrFormat, commitName)
	default:
		return "", fmt.Errorf("receive folder: %w", streamError(err))
	}
}

type folderReader struct {
	tar       *tar.Reader
	file      func(Entry, io.Reader) error
	seen      tally
	title     string
	committed bool
}

func (f *folderReader) next(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := f.tar.Next()
	if err != nil {
		return streamError(err)
	}
	for record := range h.PAXRecords {
		if record != "path" && record != "mtime" {
			return fmt.Errorf("%w: the record %.40q", ErrFormat, record)
		}
	}
	if h.Name == commitName {
		return f.commit(h)
	}
	e, err := folderEntry(h)
	if err != nil {
		return err
	}
	if err := f.seen.add(e); err != nil {
		return err
	}
	if e.Folder {
		return atFile(e.Path, f.file(e, nil))
	}
	return atFile(e.Path, f.file(e, &body{ctx: ctx, r: f.tar}))
}

// folderEntry reads one header; whether the path is valid is for the tally to say.
func folderEntry(h *tar.Header) (Entry, error) {
	path, found := strings.CutPrefix(h.Name, filesPrefix)
	if !found {
		return Entry{}, fmt.Errorf("%w: the entry %.200q", ErrFormat, h.Name)
	}
	e := Entry{Path: path, ModTime: h.ModTime.UTC()}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Size = h.Size
		e.MediaType = MediaType(path)
	case tar.TypeDir:
		e.Folder = true
		e.Path = strings.TrimSuffix(path, "/")
	default:
		return Entry{}, atFile(path, fmt.Errorf("%w: neither file nor folder", ErrFormat))
	}
	return e, nil
}

func (f *folderReader) commit(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || h.Size > maxCommit {
		return fmt.Errorf("%w: %s", ErrFormat, commitName)
	}
	b, err := io.ReadAll(f.tar)
	if err != nil {
		return streamError(err)
	}
	c, err := parseCommit(b)
	if err != nil {
		return err
	}
	if c.files != f.seen.files || c.folders != f.seen.folders || c.bytes != f.seen.bytes {
		return fmt.Errorf("%w: %s counts %d files, %d folders and %d bytes, %d, %d and %d came", ErrIncomplete,
			commitName, c.files, c.folders, c.bytes, f.seen.files, f.seen.folders, f.seen.bytes)
	}
	f.title, f.committed = c.title, true
	return nil
}

// streamError says what an error of the stream means: that it ended, was no tar, or just failed.
func streamError(err error) error {
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrIncomplete
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// body is a file's content; it ends when ctx does.
type body struct {
	ctx context.Context
	r   io.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = streamError(err)
	}
	return n, err
}
