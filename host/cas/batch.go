package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// Batch stages many objects: small ones are written, then synced, then renamed, many side by side, and
// all are on stable storage when Sync returns, which syncs their folders once each. Where the store is to
// sync Together, many small ones are synced by one call. It is for use by one goroutine, and ends with
// Close or Discard.
type Batch struct {
	s       *Store
	work    errgroup.Group       // what is under way
	heavy   chan struct{}        // a slot for each thing under way that keeps a whole buffer
	err     error                // of the first thing that failed, final
	touched map[byte]digest.Hash // folders to sync at the end
	pinned  map[digest.Hash]struct{}
	laying  int // how many were sent to be laid since the last were settled

	mu   sync.Mutex // guards laid while work is under way
	laid []laid
}

// Contents up to light bytes are copied out of the buffer they were read into while they wait to be
// written; of the others maxHeavy may wait at a time, each in a buffer of its own. So what a batch
// keeps in memory is bounded by Workers*light + maxHeavy*chunk.
const (
	light    = 64 << 10
	maxHeavy = 8
)

// Batch begins a batch.
func (s *Store) Batch() *Batch {
	b := &Batch{s: s, touched: make(map[byte]digest.Hash), pinned: make(map[digest.Hash]struct{}), heavy: make(chan struct{}, maxHeavy)}
	b.work.SetLimit(s.cfg.Workers)
	return b
}

// Stage takes in what r gives, reading it to its end. The object is pinned until the batch ends. It is
// durable, and a failure to make it so is known, when Sync returns. After an error the batch is worth
// nothing but Discard.
func (b *Batch) Stage(ctx context.Context, r io.Reader) (Object, error) {
	if b.err != nil {
		return Object{}, b.err
	}
	o, err := b.stage(ctx, r)
	if err != nil {
		b.err = fmt.Errorf("store object: %w", err)
		return Object{}, b.err
	}
	b.s.count(o)
	return o, nil
}

func (b *Batch) stage(ctx context.Context, r io.Reader) (Object, error) {
	if err := b.s.Room(0); err != nil {
		return Object{}, err
	}
	room := b.s.room()
	n, end, err := fill(ctx, r, room)
	if err == nil && end {
		return b.stageSmall(room, n)
	}
	defer b.s.leave(room)
	if err != nil {
		return Object{}, err
	}
	return b.stageLarge(ctx, io.MultiReader(bytes.NewReader(room[:n]), r))
}

// stageSmall stages the first n bytes of room, which it hands back when they are written.
func (b *Batch) stageSmall(room []byte, n int) (Object, error) {
	content := room[:n]
	o := Object{Hash: digest.Of(content), Size: int64(n)}
	if b.claim(o.Hash) {
		b.s.leave(room)
		o.Duplicate = true
		return o, nil
	}
	existing, err := b.intact(o, bytes.NewReader(content))
	if err != nil || existing != nil {
		b.s.leave(room)
		o.Duplicate = true
		return o, err
	}
	b.write(room, n, o.Hash)
	if b.laying >= b.s.enough() {
		return o, b.settleLaid()
	}
	return o, nil
}

// write writes the first n bytes of room aside.
func (b *Batch) write(room []byte, n int, h digest.Hash) {
	if n > light {
		b.heavy <- struct{}{}
		b.work.Go(func() error {
			defer func() { b.s.leave(room); <-b.heavy }()
			return b.s.write(room[:n], h)
		})
		return
	}
	content := bytes.Clone(room[:n])
	b.s.leave(room)
	b.laying++
	b.work.Go(func() error { return b.lay(content, h) })
}

func (b *Batch) stageLarge(ctx context.Context, r io.Reader) (Object, error) {
	in, err := b.s.receive(ctx, r, digest.New(), !b.s.repeats.Load())
	if err != nil {
		return Object{}, err
	}
	o := Object{Hash: in.hash.sum(), Size: in.size}
	if b.claim(o.Hash) {
		o.Duplicate = true
		b.s.repeats.Store(true)
		return o, in.discard()
	}
	existing, err := b.intact(o, in.file)
	b.s.repeats.Store(existing != nil)
	if err != nil || existing != nil {
		o.Duplicate = true
		return o, errors.Join(err, in.discard())
	}
	b.work.Go(func() error { return b.s.settle(in, o.Hash) })
	return o, nil
}

// claim pins an object for the batch. It tells whether the batch had it already.
func (b *Batch) claim(h digest.Hash) bool {
	if _, ok := b.pinned[h]; ok {
		return true
	}
	b.pinned[h] = struct{}{}
	b.touched[h[0]] = h
	b.s.pin(h)
	return false
}

// intact finds the file of an object when it is there and right. Syncing and closing it is then under
// way.
func (b *Batch) intact(o Object, content io.ReaderAt) (vfs.File, error) {
	existing, size, err := b.s.openExisting(o.Hash)
	if existing == nil {
		return nil, err
	}
	same := false
	if size == o.Size {
		same, err = b.s.equal(existing, content, size)
	}
	if err != nil || !same {
		return nil, errors.Join(err, existing.Close())
	}
	b.work.Go(func() error { return errors.Join(existing.Sync(), existing.Close()) })
	return existing, nil
}

// Sync returns when all that was staged so far is on stable storage.
func (b *Batch) Sync() error {
	if err := b.settleLaid(); err != nil {
		return err
	}
	hashes := make([]digest.Hash, 0, len(b.touched))
	for _, h := range b.touched {
		hashes = append(hashes, h)
	}
	if err := b.s.folders.syncAll(hashes, b.s.cfg.Workers); err != nil {
		return b.fail(err)
	}
	clear(b.touched)
	return nil
}

// wait waits for what is under way and gives the first error of all.
func (b *Batch) wait() error {
	err := b.work.Wait()
	b.work = errgroup.Group{}
	b.work.SetLimit(b.s.cfg.Workers)
	if err != nil {
		return b.fail(err)
	}
	return b.err
}

// fail ends what a batch is worth, and gives the first error that did.
func (b *Batch) fail(err error) error {
	if b.err == nil {
		b.err = fmt.Errorf("store objects: %w", err)
	}
	return b.err
}

// Close ends the batch and unpins its objects. The need for those that shall stay is recorded before.
func (b *Batch) Close() {
	_ = errors.Join(b.wait(), b.dropLaid()) // whoever wanted the objects has called Sync; what stays of files the sweep clears
	for h := range b.pinned {
		b.s.Unpin(h)
	}
	clear(b.pinned)
}

// Discard ends the batch and removes its objects again, but for those that somebody needs.
func (b *Batch) Discard(needed func(digest.Hash) (bool, error)) error {
	hashes := make([]digest.Hash, 0, len(b.pinned))
	for h := range b.pinned {
		hashes = append(hashes, h)
	}
	b.Close()
	_, err := b.s.RemoveAll(hashes, needed)
	return err
}

// write stores a content under its hash, all but the sync of its folder.
func (s *Store) write(content []byte, h digest.Hash) error {
	in, err := s.newIncoming()
	if err != nil {
		return err
	}
	if _, err := in.file.Write(content); err != nil {
		return errors.Join(err, in.discard())
	}
	return s.settle(in, h)
}
