package fragment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// ErrNotSpooled tells that a spool does not hold what was asked for: encoding it was never finished, or
// was done with other parameters.
var ErrNotSpooled = errors.New("not in the spool")

// PublishSpace is how many bytes a spool takes that Encode fills.
func PublishSpace(p Params) int64 { return int64(p.Total()) * p.ShardSize() }

// RestoreSpace is how many bytes a spool takes that holds the shards to decode from.
func RestoreSpace(p Params) int64 { return int64(p.Data) * p.ShardSize() }

// Spool keeps the shards of one tessera in a folder of their own while it is published or restored.
// Nothing in it is synced to disk and nothing is believed because it lies there: after a crash or a
// restart, Complete tells what is whole and removes the rest, and the work goes on from there.
//
//	<index>.shard   a shard that was written to its end, until it is dropped
//	<index>.part    a shard that is being received; <index>.2.part and so on where it comes from several
//	hashes          written when Encode is done: the parameters and every checksum
//
// Different shards may be used by different goroutines at a time, and one may be received by several: the
// first that commits it makes it whole, and the next puts the same in its place.
type Spool struct {
	fsys vfs.FS
	dir  string

	mu    sync.Mutex // guards parts
	parts map[string]bool
}

var _ Sink = (*Spool)(nil)

// OpenSpool opens the spool in the folder dir, making it when there is none.
func OpenSpool(fsys vfs.FS, dir string) (*Spool, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	return &Spool{fsys: fsys, dir: dir, parts: map[string]bool{}}, nil
}

// Create implements Sink: it begins a shard anew.
func (s *Spool) Create(index int) (io.WriteCloser, error) { return s.create(s.shard(index)) }

// Open opens a shard for reading from its beginning. A missing one is fs.ErrNotExist.
func (s *Spool) Open(index int) (vfs.File, error) { return s.fsys.Open(s.shard(index)) }

// Drop removes a shard that nobody needs any more.
func (s *Spool) Drop(index int) error {
	if err := s.fsys.Remove(s.shard(index)); err != nil {
		return fmt.Errorf("drop shard %d: %w", index, err)
	}
	return nil
}

// Finish writes down the checksums that Encode returned, so that Encoded finds them.
func (s *Spool) Finish(p Params, fragments []digest.Hash) error {
	f, err := s.create(s.path("hashes.part"))
	if err != nil {
		return fmt.Errorf("finish spool: %w", err)
	}
	_, err = f.Write(appendFragments(p.spoolHead(), fragments))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("finish spool: %w", err)
	}
	if err := s.fsys.Rename(s.path("hashes.part"), s.path("hashes")); err != nil {
		return fmt.Errorf("finish spool: %w", err)
	}
	return nil
}

// Encoded returns the checksums of an earlier Encode with the same parameters that was finished.
// Otherwise it is ErrNotSpooled. The shards may have been damaged since: see Complete.
func (s *Spool) Encoded(p Params) ([]digest.Hash, error) {
	f, err := s.fsys.Open(s.path("hashes"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotSpooled
	}
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxPlan))
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	head := string(p.spoolHead())
	l := lines{rest: strings.TrimPrefix(string(b), head)}
	fragments := l.fragments(p.Total())
	if l.err != nil || string(appendFragments([]byte(head), fragments)) != string(b) {
		return nil, ErrNotSpooled
	}
	return fragments, nil
}

// spoolHead is what stands in the file of hashes before them.
func (p Params) spoolHead() []byte { return p.appendNumbers([]byte("tesseras spool 1\n")) }

// Complete reads every shard in the spool, removes what is not whole and right by the plan, and
// returns the indices of the others, ascending.
func (s *Spool) Complete(ctx context.Context, plan *FragmentPlan) ([]int, error) {
	var mu sync.Mutex // guards good
	var good []int
	err := parallel(plan.Total(), func(i int) error {
		ok, err := s.check(ctx, plan, i)
		if ok {
			mu.Lock()
			defer mu.Unlock()
			good = append(good, i)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("check spool: %w", err)
	}
	slices.Sort(good)
	return good, nil
}

// check tells whether a shard is there and right; one that is there and wrong is removed.
func (s *Spool) check(ctx context.Context, plan *FragmentPlan, index int) (bool, error) {
	f, err := s.Open(index)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = VerifyShard(ctx, plan, index, f)
	if errors.Is(err, digest.ErrMismatch) {
		return false, s.fsys.Remove(s.shard(index))
	}
	return err == nil, err
}

// Shards opens shards for Decode or Rebuild. The function it returns closes them.
func (s *Spool) Shards(indices []int) (map[int]io.Reader, func(), error) {
	var files []vfs.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	shards := make(map[int]io.Reader, len(indices))
	for _, i := range indices {
		f, err := s.Open(i)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("open shard %d of the spool: %w", i, err)
		}
		files = append(files, f)
		shards[i] = f
	}
	return shards, closeAll, nil
}

// Receive begins to receive a shard of the plan. Close the result; before that, Commit it.
func (s *Spool) Receive(plan *FragmentPlan, index int) (*ShardWriter, error) {
	if index < 0 || index >= len(plan.Fragments) {
		return nil, fmt.Errorf("receive shard %d of %d: %w", index, len(plan.Fragments), ErrParams)
	}
	part := s.takePart(index)
	f, err := s.create(part)
	if err != nil {
		s.dropPart(part)
		return nil, fmt.Errorf("receive shard %d: %w", index, err)
	}
	return &ShardWriter{
		spool: s, file: f, part: part, index: index,
		left: plan.ShardSize(), want: plan.Fragments[index], hash: digest.New(),
	}, nil
}

// takePart gives a name for a shard to be received under that nobody else uses now.
func (s *Spool) takePart(index int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.path(strconv.Itoa(index) + ".part")
	for n := 2; s.parts[part]; n++ {
		part = s.path(fmt.Sprintf("%d.%d.part", index, n))
	}
	s.parts[part] = true
	return part
}

func (s *Spool) dropPart(part string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.parts, part)
}

// Remove deletes the spool and all that is in it.
func (s *Spool) Remove() error {
	entries, err := s.fsys.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove spool: %w", err)
	}
	for _, e := range entries {
		if err := s.fsys.Remove(s.path(e.Name())); err != nil {
			return fmt.Errorf("remove spool: %w", err)
		}
	}
	if err := s.fsys.Remove(s.dir); err != nil {
		return fmt.Errorf("remove spool: %w", err)
	}
	return nil
}

// create makes a file, replacing one of the same name.
func (s *Spool) create(name string) (vfs.File, error) {
	if err := s.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s.fsys.Create(name)
}

func (s *Spool) shard(index int) string { return s.path(strconv.Itoa(index) + ".shard") }

func (s *Spool) path(name string) string { return s.dir + "/" + name }

// ShardWriter receives one shard into a spool and hashes it on the way. One goroutine uses it.
type ShardWriter struct {
	spool *Spool
	file  vfs.File
	part  string
	index int
	left  int64
	want  digest.Hash
	hash  *digest.Hasher
	err   error // of a write: the shard is lost
	kept  bool
}

// Write adds p to the shard. More bytes than the plan says are digest.ErrMismatch at once.
func (w *ShardWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, fmt.Errorf("receive shard %d: %w: longer than recorded", w.index, digest.ErrMismatch)
	}
	w.left -= int64(len(p))
	w.hash.Write(p)
	n, err := w.file.Write(p)
	if err != nil {
		w.err = fmt.Errorf("receive shard %d: %w", w.index, err)
	}
	return n, w.err
}

// Commit puts the shard into the spool if it is whole and the one the plan names, and returns
// digest.ErrMismatch if not.
func (w *ShardWriter) Commit() error {
	if w.err != nil {
		return w.err
	}
	if w.left > 0 || w.hash.Sum() != w.want {
		return fmt.Errorf("receive shard %d: %w", w.index, digest.ErrMismatch)
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("receive shard %d: %w", w.index, err)
	}
	if err := w.spool.fsys.Rename(w.part, w.spool.shard(w.index)); err != nil {
		return fmt.Errorf("receive shard %d: %w", w.index, err)
	}
	w.kept = true
	w.spool.dropPart(w.part)
	return nil
}

// Close ends the writing. What was not committed is thrown away.
func (w *ShardWriter) Close() error {
	if w.kept {
		return nil
	}
	defer w.spool.dropPart(w.part)
	w.file.Close()
	if err := w.spool.fsys.Remove(w.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop shard %d: %w", w.index, err)
	}
	return nil
}
