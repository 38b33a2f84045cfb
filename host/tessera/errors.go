package tessera

import (
	"errors"
	"fmt"
	"strings"
)

// What a document or a stream can be found to be.
var (
	// ErrFormat tells that bytes are not the document or stream they should be, or that they spell it
	// in another way than the one way there is.
	ErrFormat = errors.New("malformed")
	// ErrVersion tells that a document is of a version, or a form, that this software does not know.
	ErrVersion = errors.New("not a version this software knows")
	// ErrSignature tells that the owner's key did not sign these bytes.
	ErrSignature = errors.New("the signature is not the owner's")
	// ErrIncomplete tells that a stream ended before its end mark.
	ErrIncomplete = errors.New("the stream ended too early")
	// ErrOtherTessera tells that a stream holds another tessera than the one asked for.
	ErrOtherTessera = errors.New("this is another tessera")
)

// What a folder to write to can be found to be.
var (
	// ErrDestination tells that a folder to be made is there already and not empty, or cannot be replaced.
	ErrDestination = errors.New("the destination is not free")
	// ErrCollision tells that the destination's file system takes two names of the tessera for one.
	ErrCollision = errors.New("this file system takes the name for that of another entry")
)

// FileError is a failure at one file of a tessera.
type FileError struct {
	Path string // raw bytes
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%q: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// atFile names the file an error is about, once.
func atFile(path string, err error) error {
	if err == nil || errors.As(err, new(*FileError)) || errors.As(err, new(*ChangedError)) {
		return err
	}
	return &FileError{Path: path, Err: err}
}

// ChangedError tells that a file or folder was not, while it was read, what the scan had seen.
type ChangedError struct {
	Path string // raw bytes
	What string // what happened to it, such as "it is gone"
	Err  error  // the cause, if the system gave one
}

func (e *ChangedError) Error() string { return fmt.Sprintf("%q changed meanwhile: %s", e.Path, e.What) }

// Unwrap gives the cause, nil if there is none.
func (e *ChangedError) Unwrap() error { return e.Err }

// Hint says what the person can do.
func (e *ChangedError) Hint() string {
	return "let whatever writes to the folder finish, then try again"
}

// LimitError tells that something is larger than a tessera may be.
type LimitError struct {
	What   string // plural, what there is too much of: "files", "bytes of files", "bytes of title" ...
	Actual int64  // how many there are; where reading stopped at the limit, how many were seen
	Limit  int64  // how many there may be
}

func (e *LimitError) Error() string {
	limit := fmt.Sprint(e.Limit)
	if e.Limit == MaxBytes {
		limit += " (1 GiB)"
	}
	return fmt.Sprintf("%d %s: a tessera holds at most %s", e.Actual, e.What, limit)
}

// Hint says what the person can do.
func (e *LimitError) Hint() string {
	if e.What == titleBytes {
		return "choose a shorter title"
	}
	return "split the folder, and create one tessera of each part"
}

// The things a LimitError counts.
const (
	titleBytes = "bytes of title"
	fileBytes  = "bytes of files"
	listBytes  = "bytes of file list"
	fileCount  = "files"
	folders    = "empty folders"
)

func atMost(what string, actual, limit int64) error {
	if actual > limit {
		return &LimitError{What: what, Actual: actual, Limit: limit}
	}
	return nil
}

// Kind says why something in a folder cannot be part of a tessera.
type Kind string

// The kinds of things that a tessera does not hold.
const (
	Symlink    Kind = "a symbolic link"
	Device     Kind = "a device"
	Socket     Kind = "a socket"
	Pipe       Kind = "a named pipe"
	Irregular  Kind = "neither file nor folder"
	Unreadable Kind = "unreadable"
	BadName    Kind = "a name that cannot be kept"
	BadTime    Kind = "a modification time that cannot be kept"
)

// Special tells whether ScanOptions.SkipSpecial leaves things of this kind out.
func (k Kind) Special() bool {
	switch k {
	case Symlink, Device, Socket, Pipe, Irregular:
		return true
	}
	return false
}

// Problem is one thing in a folder that cannot be part of a tessera.
type Problem struct {
	Path string // raw bytes, relative to the folder
	Kind Kind
	Err  error // the cause, where there is more to say than the kind
}

func (p Problem) String() string {
	if p.Err != nil {
		return fmt.Sprintf("%q: %s (%v)", p.Path, p.Kind, p.Err)
	}
	return fmt.Sprintf("%q: %s", p.Path, p.Kind)
}

// ScanError names everything in a folder that keeps it from becoming a tessera, sorted by path.
type ScanError struct{ Problems []Problem }

func (e *ScanError) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return fmt.Sprintf("%d cannot be preserved: %s", len(all), strings.Join(all, "; "))
}

// Unwrap gives the causes.
func (e *ScanError) Unwrap() []error {
	var causes []error
	for _, p := range e.Problems {
		if p.Err != nil {
			causes = append(causes, p.Err)
		}
	}
	return causes
}

// Hint says what the person can do.
func (e *ScanError) Hint() string {
	for _, p := range e.Problems {
		if !p.Kind.Special() {
			return "make what is named readable or rename it, or move it out of the folder"
		}
	}
	return "move what is named out of the folder, or leave it out with --skip-special"
}
