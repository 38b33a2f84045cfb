package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"syscall"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/vfs"
)

// The version of the layout of a data directory, kept as plain text beside the index, which can be thrown away:
// a program that does not know the layout must not make an index for it.
const (
	versionFile   = "version"
	versionPrefix = "tesseras data directory "
	maxVersion    = 64 // bytes of the file
)

// layoutVersion reads which version of the layout a data directory has, 0 where nothing says so. A newer one than
// ours is catalog.ErrNewerVersion.
func layoutVersion(fsys vfs.FS) (int, error) {
	text, err := readVersion(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	number, ok := bytes.CutPrefix(text, []byte(versionPrefix))
	line, _, _ := bytes.Cut(number, []byte("\n"))
	v, err := strconv.Atoi(string(line))
	if !ok || err != nil {
		return 0, nil // rot: the index says it too, and it is written again
	}
	if v > catalog.StorageVersion {
		return v, fmt.Errorf("version %d of its layout, known up to %d: %w", v, catalog.StorageVersion, catalog.ErrNewerVersion)
	}
	return v, nil
}

func readVersion(fsys vfs.FS) ([]byte, error) {
	f, err := fsys.Open(versionFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxVersion))
}

// markLayout writes that a data directory has our version of the layout, durably. It is for whoever has the
// directory for himself. Where there is no room for it the next start tries again.
func markLayout(fsys vfs.FS, log *slog.Logger) error {
	err := writeVersion(fsys)
	if errors.Is(err, syscall.ENOSPC) {
		log.Warn("too little space to write down the version of the data directory", "err", err)
		return nil
	}
	return err
}

func writeVersion(fsys vfs.FS) error {
	const temp = versionFile + ".new"
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", versionPrefix, catalog.StorageVersion)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, versionFile); err != nil {
		return err
	}
	return fsys.SyncDir(".")
}
