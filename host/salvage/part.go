package salvage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// errDestination tells that the folder that is written to fails.
var errDestination = errors.New("cannot write what was saved")

// inPart saves those files of a manifest that are whole.
func inPart(ctx context.Context, s *salvager, id sdk.TesseraID, t *traces) (Saved, error) {
	saved := Saved{ID: id, Title: t.manifest.Head.Title, From: FromObjects}
	var files []loose
	for _, e := range t.manifest.Entries {
		if !e.Folder {
			files = append(files, loose{e.Path, e.Hash})
		}
	}
	return s.writeLoose(ctx, saved, files)
}

// fromOldLayout copies the files of a tessera that has no manifest as they lay in the old layout:
// <memory>/<file>.
func fromOldLayout(ctx context.Context, s *salvager, id sdk.TesseraID, t *traces) (Saved, error) {
	best := map[string]digest.Hash{} // of two copies that differ, the one that is its memory
	for _, f := range t.old {
		name := f.memory.String() + "/" + f.name
		if _, seen := best[name]; !seen || f.hash == f.memory {
			best[name] = f.hash
		}
	}
	var files []loose
	for _, name := range slices.Sorted(maps.Keys(best)) {
		files = append(files, loose{name, best[name]})
	}
	return s.writeLoose(ctx, Saved{ID: id, From: FromOldLayout}, files)
}

// loose is a file to be written for itself.
type loose struct {
	path string
	hash digest.Hash
}

// writeLoose writes files one by one into the tessera's folder, which appears when all are there. Those
// that cannot be read whole are missing.
func (s *salvager) writeLoose(ctx context.Context, saved Saved, files []loose) (Saved, error) {
	root, end, err := s.folder(saved.ID)
	if err != nil {
		return Saved{}, fmt.Errorf("%w: %w", errDestination, err)
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return Saved{}, errors.Join(err, end(""))
		}
		n, err := s.writeFile(root, f)
		if errors.Is(err, errDestination) {
			return Saved{}, errors.Join(err, end(""))
		}
		if err != nil {
			saved.Missing = append(saved.Missing, Missing{f.path, oneLine(err)})
			continue
		}
		saved.Files++
		saved.Bytes += n
	}
	if saved.Files == 0 {
		return Saved{}, errors.Join(fmt.Errorf("none of its %d files is intact", len(files)), end(""))
	}
	if s.To != "" {
		saved.Dir = s.free(saved)
	}
	return saved, end(saved.Dir)
}

// free is where a tessera goes that was written file by file: under its own name only if it is whole,
// so that another run, with more to read, can do better.
func (s *salvager) free(saved Saved) string {
	dir := s.dir(saved.ID)
	if len(saved.Missing) == 0 {
		return dir
	}
	for n := 1; ; n++ {
		name := dir + "-incomplete"
		if n > 1 {
			name = fmt.Sprint(name, "-", n)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// folder makes the folder to write loose files into. The function ends that: the folder gets a name, or
// goes. Nothing is made where nothing is to be written.
func (s *salvager) folder(id sdk.TesseraID) (*os.Root, func(name string) error, error) {
	if s.To == "" {
		return nil, func(string) error { return nil }, nil
	}
	partial := s.dir(id) + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of a run that was interrupted
		return nil, nil, err
	}
	if err := os.Mkdir(partial, 0o777); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(partial)
	if err != nil {
		return nil, nil, err
	}
	return root, func(name string) error {
		if err := root.Close(); err != nil {
			return err
		}
		if name == "" {
			return os.RemoveAll(partial)
		}
		return os.Rename(partial, name)
	}, nil
}

// writeFile writes one file and gives its size. The errors of the destination are errDestination.
func (s *salvager) writeFile(root *os.Root, f loose) (n int64, err error) {
	if err := tessera.CheckPath(f.path); err != nil {
		return 0, err
	}
	r, err := s.verified(f.hash)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if root == nil {
		return io.Copy(io.Discard, r)
	}
	if dir := path.Dir(f.path); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return 0, fmt.Errorf("%w: %w", errDestination, err)
		}
	}
	w, err := root.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errDestination, err)
	}
	n, err = io.Copy(writing{w}, r)
	if closeErr := w.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", errDestination, closeErr))
	}
	if err != nil {
		return 0, errors.Join(err, root.Remove(f.path))
	}
	return n, nil
}

// writing marks the errors of the destination.
type writing struct{ w io.Writer }

// Write implements io.Writer.
func (w writing) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errDestination, err)
	}
	return n, err
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
