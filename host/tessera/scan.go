package tessera

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// ScanOptions says how to look at a folder.
type ScanOptions struct {
	// SkipSpecial leaves out symbolic links, devices, sockets and pipes instead of refusing them.
	SkipSpecial bool
}

// Inventory is what Scan found in a folder.
type Inventory struct {
	Entries FileList  // sorted; complete but for the hashes
	Skipped []Problem // left out because of SkipSpecial, sorted by path
}

// limits are what an inventory may not exceed.
type limits struct {
	files, folders int
	bytes, list    int64
}

var theLimits = limits{files: MaxFiles, folders: MaxFolders, bytes: MaxBytes, list: MaxList}

// Scan lists the files and empty folders below root without reading any of them. The names are the
// bytes the file system gives.
//
// It always looks at everything: a *LimitError says how much there is where it is too much for one
// tessera, and a *ScanError names all that cannot be preserved: special files unless they may be
// skipped, what cannot be read, and names and times that no document can hold.
func Scan(ctx context.Context, root *os.Root, o ScanOptions) (*Inventory, error) {
	return scan(ctx, root, o, theLimits)
}

func scan(ctx context.Context, root *os.Root, o ScanOptions, most limits) (*Inventory, error) {
	s := scanner{root: root, skip: o.SkipSpecial, limits: most, todo: []string{""}}
	for len(s.todo) > 0 {
		dir := s.todo[len(s.todo)-1]
		s.todo = s.todo[:len(s.todo)-1]
		if err := s.folder(ctx, dir); err != nil {
			return nil, err
		}
	}
	return s.result()
}

type scanner struct {
	root   *os.Root
	skip   bool
	limits limits

	todo     []string // folders to look at
	found    Inventory
	problems []Problem
	files    int
	folders  int
	bytes    int64
}

func (s *scanner) result() (*Inventory, error) {
	for _, err := range []error{
		atMost(fileCount, int64(s.files), int64(s.limits.files)),
		atMost(folders, int64(s.folders), int64(s.limits.folders)),
		atMost(fileBytes, s.bytes, s.limits.bytes),
		atMost(listBytes, s.found.Entries.encodedSize(), s.limits.list),
	} {
		if err != nil {
			return nil, err
		}
	}
	byPath := func(a, b Problem) int { return strings.Compare(a.Path, b.Path) }
	if len(s.problems) > 0 {
		slices.SortFunc(s.problems, byPath)
		return nil, &ScanError{Problems: s.problems}
	}
	slices.SortFunc(s.found.Skipped, byPath)
	s.found.Entries.Sort()
	return &s.found, nil
}

// folder looks at one folder. It holds at most two descriptors, however deep the folder is.
func (s *scanner) folder(ctx context.Context, dir string) error {
	here, list, info, err := s.open(dir)
	if err != nil {
		s.problem(dir, Unreadable, err)
		return nil
	}
	defer here.Close()
	defer list.Close()
	empty := true
	for {
		children, err := list.ReadDir(1024)
		for _, c := range children {
			empty = !s.child(here, dir, c.Name()) && empty
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			s.problem(dir, Unreadable, err)
			return nil
		}
	}
	if empty && dir != "" {
		s.add(Entry{Path: dir, Folder: true, ModTime: info.ModTime().UTC()})
	}
	return nil
}

func (s *scanner) open(dir string) (here *os.Root, list *os.File, info fs.FileInfo, err error) {
	if dir == "" {
		dir = "."
	}
	if here, err = s.root.OpenRoot(dir); err != nil {
		return nil, nil, nil, err
	}
	if list, err = here.Open("."); err == nil {
		if info, err = list.Stat(); err == nil {
			return here, list, info, nil
		}
		list.Close()
	}
	here.Close()
	return nil, nil, nil, err
}

// child looks at one name in a folder and tells whether the folder is not empty because of it.
func (s *scanner) child(here *os.Root, dir, name string) bool {
	path := joinPath(dir, name)
	if err := CheckPath(path); err != nil {
		s.problem(path, BadName, err)
		return true
	}
	info, err := here.Lstat(name)
	if err != nil {
		s.problem(path, Unreadable, err)
		return true
	}
	if info.IsDir() {
		s.todo = append(s.todo, path)
		return true
	}
	if kind := kindOf(info.Mode()); kind != "" {
		s.special(path, kind)
		return false
	}
	if err := readable(here, name); err != nil {
		s.problem(path, Unreadable, err)
		return true
	}
	s.add(Entry{Path: path, Size: info.Size(), ModTime: info.ModTime().UTC(), MediaType: MediaType(path)})
	return true
}

func kindOf(mode fs.FileMode) Kind {
	switch {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return Symlink
	case mode&fs.ModeDevice != 0:
		return Device
	case mode&fs.ModeSocket != 0:
		return Socket
	case mode&fs.ModeNamedPipe != 0:
		return Pipe
	}
	return Irregular
}

// readable asks the only one who knows: it opens the file. Should that have become a pipe by now,
// the open does not wait for a writer.
func readable(here *os.Root, name string) error {
	f, err := here.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// add counts everything and keeps what is within the limits.
func (s *scanner) add(e Entry) {
	if err := CheckTime(e.ModTime); err != nil {
		s.problem(e.Path, BadTime, err)
		return
	}
	if e.Folder {
		s.folders++
	} else {
		s.files++
		s.bytes += e.Size
	}
	if s.files <= s.limits.files && s.folders <= s.limits.folders {
		s.found.Entries = append(s.found.Entries, e)
	}
}

func (s *scanner) special(path string, kind Kind) {
	if s.skip {
		s.found.Skipped = append(s.found.Skipped, Problem{Path: path, Kind: kind})
		return
	}
	s.problem(path, kind, nil)
}

func (s *scanner) problem(path string, kind Kind, err error) {
	var system *fs.PathError
	if errors.As(err, &system) {
		err = system.Err // the path is said already
	}
	if path == "" {
		path = "."
	}
	s.problems = append(s.problems, Problem{Path: path, Kind: kind, Err: err})
}
