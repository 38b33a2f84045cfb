package cas

import (
	"errors"

	"github.com/tesseras/tesseras/host/digest"
)

// laid is a small content in a temporary file that is closed and not synced.
type laid struct {
	name string
	hash digest.Hash
}

const (
	// atOnce is how many laid files are made durable by one sync of the file system.
	atOnce = 1024
	// fewer than this are synced one by one: one sync of everything also waits for what others wrote.
	fewer = 64
)

// lay writes a content aside. It becomes durable, and gets its name, when enough others did, or by Sync.
func (b *Batch) lay(content []byte, h digest.Hash) error {
	in, err := b.s.newIncoming()
	if err != nil {
		return err
	}
	if _, err := in.file.Write(content); err != nil {
		return errors.Join(err, in.discard())
	}
	if err := in.file.Close(); err != nil {
		return errors.Join(err, b.s.forget(in.name))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.laid = append(b.laid, laid{in.name, h})
	return nil
}

// settleLaid makes durable what was laid, and gives it its names.
func (b *Batch) settleLaid() error {
	if err := b.wait(); err != nil {
		return err
	}
	files := b.laid
	b.laid, b.laying = nil, 0
	if len(files) == 0 {
		return nil
	}
	one := b.s.settleClosed
	if len(files) >= b.s.cfg.few {
		err := b.s.fs.SyncAll(tmpFolder)
		switch {
		case err == nil:
			one = func(l laid) error { defer b.s.temps.leave(l.name); return b.s.place(l.name, l.hash) }
		case !errors.Is(err, errors.ErrUnsupported):
			b.laid = files
			return b.fail(err)
		}
	}
	for _, l := range files {
		b.work.Go(func() error { return one(l) })
	}
	return b.wait()
}

// dropLaid removes what was laid and has no name.
func (b *Batch) dropLaid() error {
	var all error
	for _, l := range b.laid {
		all = errors.Join(all, b.s.forget(l.name))
	}
	b.laid, b.laying = nil, 0
	return all
}

// settleClosed is settle for a file that is closed.
func (s *Store) settleClosed(l laid) error {
	f, err := s.fs.Open(l.name)
	if err != nil {
		return errors.Join(err, s.forget(l.name))
	}
	return s.settle(&incoming{s: s, name: l.name, file: f}, l.hash)
}

// forget removes a temporary file that is closed.
func (s *Store) forget(name string) error {
	defer s.temps.leave(name)
	return s.fs.Remove(name)
}
