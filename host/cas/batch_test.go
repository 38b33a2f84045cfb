package cas

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/vfs"
)

func TestBatch(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	before := stage(t, s, []byte("before"), nil)
	b := s.Batch()
	var contents [][]byte
	for i := range 300 {
		contents = append(contents, fmt.Appendf(nil, "content %d", i))
	}
	for _, size := range sizes {
		contents = append(contents, randomBytes(uint64(size), size))
	}
	for round := range 2 {
		for i, content := range contents {
			o, err := b.Stage(ctx, bytes.NewReader(content))
			must(t, err)
			if o != (Object{digest.Of(content), int64(len(content)), round == 1}) {
				t.Fatalf("content %d, round %d: %+v", i, round, o)
			}
		}
	}
	o, err := b.Stage(ctx, strings.NewReader("before"))
	must(t, err)
	if o != (Object{before.Hash, before.Size, true}) {
		t.Fatalf("%+v", o)
	}
	must(t, b.Sync())
	for _, content := range contents {
		if !d.durable(Path(digest.Of(content))) {
			t.Fatal("not durable when acknowledged")
		}
	}
	gone, err := s.Remove(digest.Of(contents[0]), never)
	if err != nil || gone {
		t.Errorf("an object of an open batch was removed: %v, %v", gone, err)
	}
	b.Close()
	noPins(t, s)
	for _, content := range contents {
		intact(t, s, content)
	}
}

// TestBatchSyncs counts what a batch syncs before Sync returns: each folder once, and each small file by
// itself or many by one call. All of it is then on the disk.
func TestBatchSyncs(t *testing.T) {
	const objects = 2*atOnce + fewer + 1
	for _, c := range []struct {
		together    bool
		files, alls int64
	}{{false, objects, 0}, {true, 0, 3}} {
		t.Run(fmt.Sprint("together ", c.together), func(t *testing.T) {
			fsys := crashfs.New(crashfs.Options{})
			s, err := New(fsys, Config{Together: c.together, room: 512})
			must(t, err)
			counts := countSyncs(fsys)
			b := s.Batch()
			defer b.Close()
			for i := range objects {
				_, err := b.Stage(ctx, strings.NewReader(fmt.Sprint("object ", i)))
				must(t, err)
			}
			must(t, b.Sync())
			if f, a, d := counts.files.Load(), counts.alls.Load(), counts.folders.Load(); f != c.files || a != c.alls || d > 256 {
				t.Errorf("%d files, %d times all, %d folders synced for %d objects", f, a, d, objects)
			}
			left, err := New(fsys.Crash(crashfs.Nothing()), Config{})
			must(t, err)
			for i := range objects {
				must(t, readsAs(left, []byte(fmt.Sprint("object ", i))))
			}
		})
	}
}

// syncCounts is how often something was synced.
type syncCounts struct{ files, alls, folders atomic.Int64 }

// countSyncs counts from now on; of folders only those of objects.
func countSyncs(fsys *crashfs.FS) *syncCounts {
	n := new(syncCounts)
	fsys.Watch(func(m *crashfs.Moment) {
		switch {
		case m.Call == "sync":
			n.files.Add(1)
		case m.Call == "sync all":
			n.alls.Add(1)
		case m.Call == "sync folder" && len(m.Name) == len(folder)+3:
			n.folders.Add(1)
		}
	})
	return n
}

// aloneFS is a file system that cannot sync everything at once.
type aloneFS struct{ vfs.FS }

func (aloneFS) SyncAll(string) error { return errors.ErrUnsupported }

// TestBatchWithoutASyncOfAll: where there is no such call, and for a few files, each is synced by itself.
func TestBatchWithoutASyncOfAll(t *testing.T) {
	for name, objects := range map[string]int{"many": fewer + 10, "few": fewer - 1} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			fsys := vfs.FS(d)
			if objects >= fewer {
				fsys = aloneFS{d}
			}
			s, err := New(fsys, Config{Together: true, room: 512})
			must(t, err)
			b := s.Batch()
			defer b.Close()
			for i := range objects {
				_, err := b.Stage(ctx, strings.NewReader(fmt.Sprint("object ", i)))
				must(t, err)
			}
			must(t, b.Sync())
			for i := range objects {
				if !d.durable(Path(digest.Of([]byte(fmt.Sprint("object ", i))))) {
					t.Fatal("not durable when acknowledged")
				}
			}
		})
	}
}

// TestASyncOfManyThatFailsIsFinal: nothing of it gets a name, and nothing stays.
func TestASyncOfManyThatFailsIsFinal(t *testing.T) {
	for name, together := range map[string]bool{"together": true, "one by one": false} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			s, err := New(d, Config{Together: together, room: 512})
			must(t, err)
			b := s.Batch()
			for i := range fewer {
				_, err := b.Stage(ctx, strings.NewReader(fmt.Sprint("object ", i)))
				must(t, err)
			}
			must(t, b.wait())
			d.failNext(1, syscall.EIO)
			wantError(t, b.Sync(), syscall.EIO)
			for _, left := range d.names(t) {
				if !strings.HasPrefix(left, tmpFolder) {
					t.Errorf("%s has its name", left)
				}
			}
			wantError(t, b.Sync(), syscall.EIO)
			must(t, b.Discard(func(digest.Hash) (bool, error) { return false, nil }))
			if got := d.names(t); len(got) > 0 {
				t.Errorf("left behind: %q", got)
			}
			noPins(t, s)
			if found, err := s.ClearTemps(ctx, time.Unix(1<<40, 0), true); err != nil || found != (Leaked{}) || len(s.temps.live) > 0 {
				t.Errorf("%+v is left, %d in use, %v", found, len(s.temps.live), err)
			}
		})
	}
}

// TestBatchDoesOneThingAtATime: of the files that are synced one by one none is synced before all are written
// and on their way to the disk, and none is renamed before all are synced; and few are open.
func TestBatchDoesOneThingAtATime(t *testing.T) {
	const objects = 2*held + 1
	fsys := crashfs.New(crashfs.Options{})
	s, err := New(fsys, Config{room: 512})
	must(t, err)
	var order []string // of what is done, without repeats
	times := map[string]int{}
	last := ""
	fsys.Watch(func(m *crashfs.Moment) {
		switch call := m.Call; call {
		case "start writing", "sync", "rename":
			if call != last {
				order = append(order, call)
			}
			last = call
			times[call]++
		case "create":
			last = ""
		}
	})
	b := s.Batch()
	defer b.Close()
	for i := range objects {
		_, err := b.Stage(ctx, strings.NewReader(fmt.Sprint("object ", i)))
		must(t, err)
	}
	must(t, b.Sync())
	group := []string{"start writing", "sync", "rename"}
	if want := slices.Repeat(group, (objects+held-1)/held); !slices.Equal(order, want) {
		t.Errorf("%q", order)
	}
	for _, call := range group {
		if times[call] != objects {
			t.Errorf("%d times %s for %d objects", times[call], call, objects)
		}
	}
}

func never() (bool, error) { return false, nil }

func TestBatchDiscard(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	needed := stage(t, s, []byte("needed"), nil)
	b := s.Batch()
	for _, content := range []string{"needed", "new", strings.Repeat("large", chunk)} {
		_, err := b.Stage(ctx, strings.NewReader(content))
		must(t, err)
	}
	must(t, b.Discard(func(h digest.Hash) (bool, error) { return h == needed.Hash, nil }))
	if got, want := d.names(t), []string{Path(needed.Hash)}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	noPins(t, s)
}

// TestBatchErrorIsFinal: a sync that failed aside is told by Sync, and by everything after.
func TestBatchErrorIsFinal(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	b := s.Batch()
	d.failNext(3, syscall.EIO) // create, write, sync
	_, err := b.Stage(ctx, strings.NewReader("x"))
	must(t, err)
	wantError(t, b.Sync(), syscall.EIO)
	_, err = b.Stage(ctx, strings.NewReader("y"))
	wantError(t, err, syscall.EIO)
	wantError(t, b.Sync(), syscall.EIO)
	must(t, b.Discard(func(digest.Hash) (bool, error) { return false, nil }))
	if got := d.names(t); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}
