package fragment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// newSpool is a spool on a real disk, and where it lies.
func newSpool(t *testing.T) (*Spool, string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := vfs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	s, err := OpenSpool(fsys, "publish/one")
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, "publish", "one")
}

// spooled is a spool that holds all shards of packed.
func spooled(t *testing.T, p Params, packed []byte) (*Spool, string, *FragmentPlan) {
	t.Helper()
	s, dir := newSpool(t)
	hashes, err := Encode(t.Context(), p, bytes.NewReader(packed), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(p, hashes); err != nil {
		t.Fatal(err)
	}
	return s, dir, signedPlan(t, p, hashes, "spooled")
}

func TestPublishSpool(t *testing.T) {
	p := coded(4, 2, 100, 2345)
	packed := randomBytes(30, int(p.Packed))
	s, dir, plan := spooled(t, p, packed)
	var total int64
	for i := range p.Total() {
		info, err := os.Stat(filepath.Join(dir, string(rune('0'+i))+".shard"))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total != PublishSpace(p) {
		t.Errorf("%d bytes in the spool, PublishSpace says %d", total, PublishSpace(p))
	}
	// Another process goes on from here.
	hashes, err := s.Encoded(p)
	if err != nil || !slices.Equal(hashes, plan.Fragments) {
		t.Fatalf("Encoded: %v", err)
	}
	if got, err := s.Complete(t.Context(), plan); err != nil || !slices.Equal(got, firstInts(6)) {
		t.Errorf("Complete: %v, %v", got, err)
	}
	shards, closeAll, err := s.Shards([]int{1, 3, 4, 5})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	var out bytes.Buffer
	if err := Decode(t.Context(), plan, shards, &out); err != nil || !bytes.Equal(out.Bytes(), packed) {
		t.Errorf("decode: %v", err)
	}
	if _, err := Encode(t.Context(), p, bytes.NewReader(packed), s); err != nil {
		t.Errorf("encode again: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spool is still there: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Errorf("remove again: %v", err)
	}
}

func TestUnfinishedSpool(t *testing.T) {
	p := coded(4, 2, 100, 2345)
	s, dir := newSpool(t)
	if _, err := s.Encoded(p); !errors.Is(err, ErrNotSpooled) {
		t.Errorf("empty: %v", err)
	}
	hashes := make([]digest.Hash, 6)
	if err := s.Finish(p, hashes); err != nil {
		t.Fatal(err)
	}
	other := p
	other.Packed++
	if _, err := s.Encoded(other); !errors.Is(err, ErrNotSpooled) {
		t.Errorf("other parameters: %v", err)
	}
	name := filepath.Join(dir, "hashes")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{nil, whole[:len(whole)-1], whole[:50], append(bytes.Clone(whole), 'x'), make([]byte, len(whole))} {
		if err := os.WriteFile(name, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Encoded(p); !errors.Is(err, ErrNotSpooled) {
			t.Errorf("torn after %d bytes: %v", len(torn), err)
		}
	}
	if err := s.Finish(p, hashes); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Encoded(p); err != nil || !slices.Equal(got, hashes) {
		t.Errorf("finished again: %v", err)
	}
}

// TestDamagedSpool is what a crash may leave: nothing in a spool is synced.
func TestDamagedSpool(t *testing.T) {
	p := coded(4, 2, 100, 2345)
	s, dir, plan := spooled(t, p, randomBytes(31, int(p.Packed)))
	damage := func(index string, f func(b []byte) []byte) {
		name := filepath.Join(dir, index+".shard")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage("0", func(b []byte) []byte { b[7] ^= 1; return b })
	damage("2", func(b []byte) []byte { return b[:5] })
	damage("3", func(b []byte) []byte { return append(b, 0) })
	damage("5", func([]byte) []byte { return nil })
	for range 2 {
		if got, err := s.Complete(t.Context(), plan); err != nil || !slices.Equal(got, []int{1, 4}) {
			t.Errorf("Complete: %v, %v", got, err)
		}
	}
	if _, _, err := s.Shards([]int{1, 0}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed shard opens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Complete(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "1.shard")); err != nil {
		t.Errorf("a good shard was removed: %v", err)
	}
}

func TestReceive(t *testing.T) {
	p := coded(4, 2, 100, 2345)
	packed := randomBytes(32, int(p.Packed))
	shards, plan := encoded(t, p, packed)
	s, dir := newSpool(t)
	receive := func(index int, b []byte) (writeErr, commitErr error) {
		t.Helper()
		w, err := s.Receive(plan, index)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		_, writeErr = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(b)}, make([]byte, 77))
		return writeErr, w.Commit()
	}
	flipped := bytes.Clone(shards[0])
	flipped[3] ^= 1
	for name, bad := range map[string][]byte{
		"empty": nil, "short": shards[0][:20], "flipped": flipped, "another shard": shards[1],
	} {
		if werr, cerr := receive(0, bad); werr != nil || !errors.Is(cerr, digest.ErrMismatch) {
			t.Errorf("%s: write %v, commit %v", name, werr, cerr)
		}
	}
	if werr, cerr := receive(0, append(bytes.Clone(shards[0]), 1)); !errors.Is(werr, digest.ErrMismatch) || !errors.Is(cerr, digest.ErrMismatch) {
		t.Errorf("long: write %v, commit %v", werr, cerr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("bad shards left %v, %v", left, err)
	}
	for _, i := range []int{5, 0, 3, 4} {
		if werr, cerr := receive(i, shards[i]); werr != nil || cerr != nil {
			t.Fatalf("shard %d: %v, %v", i, werr, cerr)
		}
	}
	have, err := s.Complete(t.Context(), plan)
	if err != nil || !slices.Equal(have, []int{0, 3, 4, 5}) {
		t.Fatalf("Complete: %v, %v", have, err)
	}
	sources, closeAll, err := s.Shards(have)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	var out bytes.Buffer
	if err := Decode(t.Context(), plan, sources, &out); err != nil || !bytes.Equal(out.Bytes(), packed) {
		t.Errorf("decode: %v", err)
	}
	for _, i := range []int{-1, 6} {
		if _, err := s.Receive(plan, i); !errors.Is(err, ErrParams) {
			t.Errorf("receive shard %d: %v", i, err)
		}
	}
}

// TestReceiveAgain is a process that was killed while it received.
func TestReceiveAgain(t *testing.T) {
	p := coded(2, 1, 100, 500)
	shards, plan := encoded(t, p, randomBytes(33, int(p.Packed)))
	s, _ := newSpool(t)
	killed, err := s.Receive(plan, 1)
	if err != nil {
		t.Fatal(err)
	}
	killed.Write(shards[1][:30])
	if got, err := s.Complete(t.Context(), plan); err != nil || len(got) != 0 {
		t.Errorf("half a shard counts: %v, %v", got, err)
	}
	w, err := s.Receive(plan, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(shards[1]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	killed.Close()
	if got, err := s.Complete(t.Context(), plan); err != nil || !slices.Equal(got, []int{1}) {
		t.Errorf("Complete: %v, %v", got, err)
	}
}

// fullFS is a disk on which no file grows.
type fullFS struct{ vfs.FS }

func (f fullFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	return fullFile{file}, err
}

type fullFile struct{ vfs.File }

func (fullFile) Write([]byte) (int, error) { return 0, errSink }

func TestSpoolOnAFullDisk(t *testing.T) {
	p := coded(2, 1, 100, 500)
	packed := randomBytes(34, int(p.Packed))
	shards, plan := encoded(t, p, packed)
	s, dir := newSpool(t)
	s.fsys = fullFS{s.fsys}
	if _, err := Encode(t.Context(), p, bytes.NewReader(packed), s); !errors.Is(err, errSink) {
		t.Errorf("encode: %v", err)
	}
	if err := s.Finish(p, plan.Fragments); !errors.Is(err, errSink) {
		t.Errorf("finish: %v", err)
	}
	if _, err := s.Encoded(p); !errors.Is(err, ErrNotSpooled) {
		t.Errorf("encoded: %v", err)
	}
	w, err := s.Receive(plan, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(shards[1]); !errors.Is(err, errSink) {
		t.Errorf("write: %v", err)
	}
	if err := w.Commit(); !errors.Is(err, errSink) {
		t.Errorf("a shard that was not written is committed: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spool is still there: %v", err)
	}
}

// TestOneShardFromTwo: both are received at a time, and neither spoils the other.
func TestOneShardFromTwo(t *testing.T) {
	p := coded(2, 1, 100, 500)
	shards, plan := encoded(t, p, randomBytes(35, int(p.Packed)))
	s, dir := newSpool(t)
	var both [2]*ShardWriter
	for i := range both {
		w, err := s.Receive(plan, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		both[i] = w
		w.Write(shards[1][:30])
	}
	for _, w := range both {
		w.Write(shards[1][30:])
		if err := w.Commit(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if got, err := s.Complete(t.Context(), plan); err != nil || !slices.Equal(got, []int{1}) {
		t.Errorf("Complete: %v, %v", got, err)
	}
}
