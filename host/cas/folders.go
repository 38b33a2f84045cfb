package cas

import (
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// folders makes the 256 folders of objects when they are first needed and remembers which of them
// would survive a loss of power.
type folders struct {
	fs    vfs.FS
	mu    sync.Mutex // guards below
	state [256]folderState
}

type folderState uint8

const (
	folderMissing folderState = iota
	folderMade                // but perhaps not durable
	folderDurable
)

// adopt takes over what an earlier process made, durable or not.
func (f *folders) adopt() error {
	if err := f.fs.SyncDir(folder); err != nil {
		return err
	}
	entries, err := f.fs.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if i, ok := folderIndex(e.Name()); ok && e.IsDir() {
			f.state[i] = folderDurable
		}
	}
	return nil
}

// folderIndex reads the name of one of the 256 folders.
func folderIndex(name string) (byte, bool) {
	i, err := strconv.ParseUint(name, 16, 8)
	if err != nil || len(name) != 2 || folderOf(digest.Hash{byte(i)}) != folder+"/"+name {
		return 0, false
	}
	return byte(i), true
}

// make makes the folder of a hash, where it is missing.
func (f *folders) make(h digest.Hash) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state[h[0]] != folderMissing {
		return nil
	}
	if err := f.fs.MkdirAll(folderOf(h)); err != nil {
		return err
	}
	f.state[h[0]] = folderMade
	return nil
}

// sync makes the names in the folder of a hash durable, and that folder itself.
func (f *folders) sync(h digest.Hash) error { return f.syncAll([]digest.Hash{h}, 1) }

// syncAll is sync for many, side by side.
func (f *folders) syncAll(hashes []digest.Hash, workers int) error {
	if err := f.syncParent(hashes); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(workers)
	for _, h := range hashes {
		g.Go(func() error { return f.fs.SyncDir(folderOf(h)) })
	}
	return g.Wait()
}

// syncParent syncs the folder of folders when one of these is new in it.
func (f *folders) syncParent(hashes []digest.Hash) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := false
	for _, h := range hashes {
		fresh = fresh || f.state[h[0]] == folderMade
	}
	if !fresh {
		return nil
	}
	if err := f.fs.SyncDir(folder); err != nil {
		return err
	}
	for i, st := range f.state {
		if st == folderMade {
			f.state[i] = folderDurable
		}
	}
	return nil
}
