// Package vfs answers: what may the rest of the host do to a disk?
//
// It is the small seam between the store and the file system. Production code uses Dir, rooted so
// that no name can lead out of it; tests put failing and crash-cloning disks in its place.
package vfs

import (
	"io"
	"io/fs"
	"os"
)

// FS is a tree of files. Names are relative, slash-separated and clean. A method that returns nil
// has done its work, but only what Sync or SyncDir acknowledged survives a loss of power.
type FS interface {
	// Create makes a new file for writing and reading; an existing one is fs.ErrExist.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenAppend opens a file for writing at its end, creating it where it is missing.
	OpenAppend(name string) (File, error)
	// Rename moves a file, replacing a file of the new name in one step.
	Rename(from, to string) error
	// Remove deletes a file or an empty folder; a missing one is fs.ErrNotExist.
	Remove(name string) error
	// MkdirAll makes a folder and those above it; an existing one is no error.
	MkdirAll(name string) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file without following a symbolic link.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable: creations, renames and removals.
	SyncDir(name string) error
	// SyncAll makes the contents of all files durable that are on the file system of a folder, whoever
	// wrote them, open or not. Where the system has no such call, or one that hides failures, it is
	// errors.ErrUnsupported. After any other error no content counts as durable that was not before.
	SyncAll(folder string) error
	// Free is the number of bytes an unprivileged user may still write.
	Free() (uint64, error)
}

// StartWriting asks the system to begin bringing n bytes of a file from an offset on to the disk, so that Sync
// has less to wait for. Nothing is durable by that; but after an error the content is lost, as after a failed
// Sync. Where the system has no such call nothing happens.
func StartWriting(f File, from, n int64) error {
	switch f := f.(type) {
	case *os.File:
		return startWriting(f, from, n)
	case interface{ StartWriting(from, n int64) error }:
		return f.StartWriting(from, n)
	}
	return nil
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	// Sync makes the content durable. After a failure the content is lost for good: fsync reports an
	// error once, and a second call would succeed without having written anything.
	Sync() error
	// Truncate changes the size.
	Truncate(size int64) error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
}
