package cache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/vfs"
)

// room is a cache before a real store.
type room struct {
	*Cache
	t    testing.TB
	root string
	cas  *cas.Store
}

func newRoom(t testing.TB, limit int64) *room {
	t.Helper()
	r := &room{t: t, root: t.TempDir()}
	dir, err := vfs.OpenDir(r.root)
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	r.cas, err = cas.New(dir, cas.Config{Changed: func(h digest.Hash) { r.Forget(h) }})
	must(t, err)
	r.Cache = New(r.cas, limit)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content is size bytes that no other number gives.
func content(n byte, size int) []byte { return bytes.Repeat([]byte{n}, size) }

func (r *room) put(b []byte) digest.Hash {
	r.t.Helper()
	o, err := r.cas.Stage(r.t.Context(), bytes.NewReader(b), nil)
	must(r.t, err)
	r.cas.Unpin(o.Hash)
	return o.Hash
}

// read reads an object through the cache and compares it.
func (r *room) read(h digest.Hash, want []byte) {
	r.t.Helper()
	f, err := r.Open(h, int64(len(want)))
	must(r.t, err)
	got, err := io.ReadAll(f)
	must(r.t, errors.Join(err, f.Close()))
	if !bytes.Equal(got, want) {
		r.t.Errorf("read %d bytes, want %d others", len(got), len(want))
	}
}

func (r *room) want(hits, misses, kept int64) {
	r.t.Helper()
	if got := r.Stats(); got != (Stats{hits, misses, kept}) {
		r.t.Errorf("%+v, want %d hits, %d misses, %d bytes", got, hits, misses, kept)
	}
}

func TestTheSecondReadIsFromMemory(t *testing.T) {
	r := newRoom(t, 8000)
	b := content(1, 1000)
	h := r.put(b)
	r.read(h, b)
	r.want(0, 1, 1000)
	must(t, os.Remove(filepath.Join(r.root, cas.Path(h)))) // nothing reads the disk any more
	r.read(h, b)
	r.want(1, 1, 1000)
	f, err := r.OpenAt(h, 1000)
	must(t, err)
	got := make([]byte, 10)
	if n, err := f.ReadAt(got, 500); n != 10 || err != nil || !bytes.Equal(got, b[:10]) || f.Size() != 1000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	must(t, f.Close())
	r.want(2, 1, 1000)
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	r := newRoom(t, 8000)
	var all [][]byte
	var hashes []digest.Hash
	for i := range byte(9) {
		b := content(i, 1000)
		all, hashes = append(all, b), append(hashes, r.put(b))
	}
	for i := range 8 {
		r.read(hashes[i], all[i])
	}
	r.want(0, 8, 8000)
	r.read(hashes[0], all[0]) // now 1 was used least lately
	r.read(hashes[8], all[8])
	r.want(1, 9, 8000)
	r.read(hashes[0], all[0])
	r.want(2, 9, 8000)
	r.read(hashes[1], all[1])
	r.want(2, 10, 8000)
}

func TestWhatIsTooLargeIsNotAdmitted(t *testing.T) {
	r := newRoom(t, 8000)
	for size, kept := range map[int]int64{1000: 1000, 1001: 0} {
		b := content(byte(size), size)
		h := r.put(b)
		before := r.Stats().Bytes
		r.read(h, b)
		if got := r.Stats().Bytes - before; got != kept {
			t.Errorf("of %d bytes %d are kept", size, got)
		}
	}
}

func TestNoCacheKeepsAndCountsNothing(t *testing.T) {
	r := newRoom(t, 0)
	b := content(1, 10)
	h := r.put(b)
	r.read(h, b)
	r.read(h, b)
	r.want(0, 0, 0)
}

func TestWritingAndRemovingForget(t *testing.T) {
	r := newRoom(t, 8000)
	b := content(1, 1000)
	h := r.put(b)
	unneeded := func() (bool, error) { return false, nil }
	for name, change := range map[string]func() error{
		"removed": func() error { _, err := r.cas.Remove(h, unneeded); return err },
		"moved": func() error {
			_, err := r.cas.MoveAll([]digest.Hash{h}, "aside", func(digest.Hash) (bool, error) { return false, nil })
			return err
		},
	} {
		r.put(b)
		r.read(h, b)
		must(t, change())
		if got := r.Stats().Bytes; got != 0 {
			t.Errorf("%s: %d bytes are kept", name, got)
		}
		if _, err := r.Open(h, 1000); !errors.Is(err, cas.ErrMissing) {
			t.Errorf("%s: it can be read still: %v", name, err)
		}
	}
	r.put(b)
	r.read(h, b)
	must(t, os.WriteFile(filepath.Join(r.root, cas.Path(h)), []byte("rotten"), 0o600))
	r.put(b) // written anew
	if got := r.Stats().Bytes; got != 0 {
		t.Errorf("written: %d bytes are kept", got)
	}
	// removed while it is being read
	f, err := r.Open(h, 1000)
	must(t, err)
	_, err = f.Read(make([]byte, 10))
	must(t, err)
	_, err = r.cas.Remove(h, unneeded)
	must(t, err)
	_, err = io.Copy(io.Discard, f)
	must(t, errors.Join(err, f.Close()))
	if got := r.Stats().Bytes; got != 0 {
		t.Errorf("removed while read: %d bytes are kept", got)
	}
}

func TestWhatIsWrongOrCutShortIsNotKept(t *testing.T) {
	r := newRoom(t, 8000)
	b := content(1, 1000)
	h := r.put(b)
	f, err := r.Open(h, 1000)
	must(t, err)
	_, err = f.Read(make([]byte, 10))
	must(t, errors.Join(err, f.Close()))
	if got := r.Stats().Bytes; got != 0 {
		t.Errorf("after a part of it %d bytes are kept", got)
	}
	must(t, os.WriteFile(filepath.Join(r.root, cas.Path(h)), content(2, 1000), 0o600))
	if f, err = r.Open(h, 1000); err == nil {
		_, err = io.Copy(io.Discard, f)
		must(t, f.Close())
	}
	if !errors.Is(err, cas.ErrDamaged) || r.Stats().Bytes != 0 {
		t.Errorf("rotten: %v, %d bytes are kept", err, r.Stats().Bytes)
	}
}

// TestTheBoundAlwaysHolds reads, forgets and breaks off at random, from several goroutines: the sum is
// what is kept, never above the bound, and nothing is left reserved.
func TestTheBoundAlwaysHolds(t *testing.T) {
	r := newRoom(t, 0)
	var all [][]byte
	var hashes []digest.Hash
	for i := range byte(20) {
		b := content(i, int(i)*20)
		all, hashes = append(all, b), append(hashes, r.put(b))
	}
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.Int64Range(1, 4000).Draw(rt, "limit")
		seed := rapid.Uint64().Draw(rt, "seed")
		r.Cache = New(r.cas, limit)
		var g sync.WaitGroup
		for worker := range uint64(3) {
			g.Go(func() {
				rng := rand.New(rand.NewPCG(seed, worker))
				for range 100 {
					i := rng.IntN(len(all))
					switch rng.IntN(4) {
					case 0:
						r.Forget(hashes[i])
					case 1:
						f, err := r.Open(hashes[i], int64(len(all[i])))
						must(t, err)
						_, _ = f.Read(make([]byte, 1+rng.IntN(100)))
						must(t, f.Close())
					default:
						r.read(hashes[i], all[i])
					}
					if got := r.Stats().Bytes; got > limit || got < 0 {
						t.Errorf("%d bytes of %d", got, limit)
					}
				}
			})
		}
		g.Wait()
		var sum int64
		for _, b := range r.kept.Values() {
			sum += int64(len(b))
		}
		if got := r.Stats().Bytes; got != sum || len(r.filling) != 0 {
			t.Errorf("%d bytes counted, %d kept, %d being read", got, sum, len(r.filling))
		}
	})
}
