package cas

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
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

// TestBatchSyncsTogether counts how often folders are synced: with each object, or once each at the end,
// and never after Sync has returned.
func TestBatchSyncsTogether(t *testing.T) {
	const objects = 600
	for _, together := range []bool{false, true} {
		fsys := crashfs.New(crashfs.Options{})
		var folders atomic.Int64
		fsys.Watch(func(m *crashfs.Moment) {
			if m.Call == "sync folder" && len(m.Name) == len(folder)+3 {
				folders.Add(1)
			}
		})
		s, err := New(fsys, Config{Together: together, room: 512})
		must(t, err)
		folders.Store(0)
		b := s.Batch()
		for i := range objects {
			_, err := b.Stage(ctx, strings.NewReader(fmt.Sprint("object ", i)))
			must(t, err)
		}
		must(t, b.Sync())
		synced := int(folders.Load())
		left, err := New(fsys.Crash(crashfs.Nothing()), Config{})
		must(t, err)
		for i := range objects {
			must(t, readsAs(left, []byte(fmt.Sprint("object ", i))))
		}
		if together && synced > 256 || !together && synced != objects {
			t.Errorf("together %v: %d folders synced for %d objects", together, synced, objects)
		}
		b.Close()
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
