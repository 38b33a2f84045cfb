package cas

import (
	"errors"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// laid is a small content that is not synced.
type laid struct {
	in   *incoming // its file is nil when it is closed
	hash digest.Hash
}

const (
	// held is how many laid files are kept open to be synced one by one.
	held = 256
	// atOnce is how many laid files are made durable by one sync of the file system. They are closed before:
	// it needs none open.
	atOnce = 1024
	// fewer than this are synced one by one: one sync of everything also waits for what others wrote.
	fewer = 64
)

// enough is how many laid files are settled before there are more.
func (s *Store) enough() int {
	if s.cfg.Together {
		return atOnce
	}
	return held
}

// lay writes a content aside. It becomes durable, and gets its name, when enough others did, or by Sync.
func (b *Batch) lay(content []byte, h digest.Hash) error {
	in, err := b.s.newIncoming()
	if err != nil {
		return err
	}
	if _, err := in.file.Write(content); err != nil {
		return errors.Join(err, in.discard())
	}
	in.size = int64(len(content))
	if b.s.cfg.Together {
		if err := in.close(); err != nil {
			return errors.Join(err, in.discard())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.laid = append(b.laid, laid{in, h})
	return nil
}

// settleLaid makes durable what was laid, and gives it its names.
func (b *Batch) settleLaid() error {
	if err := b.wait(); err != nil {
		return err
	}
	if err := b.syncLaid(); err != nil {
		return b.fail(err) // what was laid is for dropLaid
	}
	files := b.laid
	b.laid, b.laying = nil, 0
	return b.each(files, func(l laid) error {
		defer b.s.temps.leave(l.in.name)
		return b.s.place(l.in.name, l.hash)
	})
}

// syncLaid makes durable what was laid, and closes it. It does one thing to all files before it does the
// next: many files share a block of inodes and a folder, and these are written again for each file that is
// synced after one of them was made, filled or renamed.
func (b *Batch) syncLaid() error {
	if b.s.cfg.Together && len(b.laid) >= b.s.cfg.few {
		if err := b.s.fs.SyncAll(tmpFolder); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if err := b.each(b.laid, laid.startWriting); err != nil {
		return err
	}
	return b.each(b.laid, laid.sync)
}

// each does a thing to all files, side by side.
func (b *Batch) each(files []laid, do func(laid) error) error {
	for _, l := range files {
		b.work.Go(func() error { return do(l) })
	}
	return b.wait()
}

// dropLaid removes what was laid and has no name.
func (b *Batch) dropLaid() error {
	var all error
	for _, l := range b.laid {
		all = errors.Join(all, l.in.discard())
	}
	b.laid, b.laying = nil, 0
	return all
}

func (l laid) startWriting() error {
	if l.in.file == nil {
		return nil
	}
	return vfs.StartWriting(l.in.file, 0, l.in.size)
}

// sync makes the content durable and closes its file.
func (l laid) sync() error {
	if l.in.file == nil {
		f, err := l.in.s.fs.Open(l.in.name)
		if err != nil {
			return err
		}
		l.in.file = f
	}
	return errors.Join(l.in.sync(), l.in.close())
}
