package decisions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// disk is a folder whose writes and syncs are counted, and fail when told to.
type disk struct {
	*vfs.Dir
	writes, syncs atomic.Int64
	full          atomic.Bool
}

type diskFile struct {
	vfs.File
	disk *disk
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	dir, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return &disk{Dir: dir}
}

func (d *disk) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	return d.wrap(f), err
}

func (d *disk) OpenAppend(name string) (vfs.File, error) {
	f, err := d.Dir.OpenAppend(name)
	return d.wrap(f), err
}

func (d *disk) wrap(f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &diskFile{f, d}
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.writes.Add(1)
	if f.disk.full.Load() { // half of it still fits
		n, err := f.File.Write(b[:len(b)/2])
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	f.disk.syncs.Add(1)
	return f.File.Sync()
}

func open(t testing.TB, d vfs.FS, keep int64) *Log {
	t.Helper()
	l, err := Open(d, "decisions", Config{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func id(kind string, n int) []byte {
	h := sha256.Sum256(fmt.Append(nil, kind, n))
	return h[:]
}

// admission is the n-th decision about a push of the n-th tessera, a second after the one before.
func admission(n int) policy.Decision {
	request, err := (&sdk.AdmitRequest{Tessera: id("tessera", n), Sender: id("peer", 1), Owner: id("owner", 1), SizeBytes: 1 << 20}).MarshalVT()
	if err != nil {
		panic(err)
	}
	response, err := (&sdk.AdmitResponse{Status: sdk.Status_OK, Verdict: sdk.AdmitResponse_ACCEPT, Reason: "why not"}).MarshalVT()
	if err != nil {
		panic(err)
	}
	name := digest.Of(fmt.Append(nil, n)).String()[:16]
	return policy.Decision{
		ID: name, Time: start.Add(time.Duration(n) * time.Second), Role: sdk.RoleReciprocity,
		Source: policy.Source{Policy: "default", Runtime: "wasm", Decision: name}, Outcome: policy.Answered, Reason: "why not",
		Steps: []policy.Step{
			{Policy: "law", Runtime: "process", Part: policy.PartGuard, Digest: "ab12", Outcome: policy.Answered, Took: 7, Response: response},
			{Policy: "mine", Runtime: "wasm", Part: policy.PartDecider, Outcome: policy.Failed, Error: "trap", Took: time.Millisecond},
			{Policy: "default", Runtime: "wasm", Part: policy.PartDefault, Outcome: policy.Answered, Took: 5},
		},
		Notes:    []policy.Note{{Peer: sdk.NodeID(id("peer", 2)), Reason: "denied: banned"}},
		Question: []byte("question"), RequestDigest: digest.Of(request), Request: request, Response: response,
	}
}

func collect(t testing.TB, seq iter.Seq2[policy.Decision, error]) (out []policy.Decision) {
	t.Helper()
	for d, err := range seq {
		if err != nil {
			t.Error(err)
		}
		out = append(out, d)
	}
	return out
}

func TestDecisionsComeBackAsTheyWere(t *testing.T) {
	d := newDisk(t)
	l := open(t, d, DefaultKeep)
	nobody := policy.Decision{ID: "0123456789abcdef", Time: start, Role: sdk.RoleRepair, Outcome: policy.Failed, Request: []byte("r"), RequestDigest: digest.Of([]byte("r"))}
	nobody.Decision = nobody.ID
	want := []policy.Decision{nobody, admission(1), admission(2)}
	for _, w := range want {
		l.Record(w)
	}
	if d.writes.Load()+d.syncs.Load() != 0 {
		t.Errorf("recording waited for %d writes and %d syncs", d.writes.Load(), d.syncs.Load())
	}
	if got := collect(t, l.Since(time.Time{})); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if err := l.Close(); err != nil || d.syncs.Load() == 0 {
		t.Errorf("closed without a sync: %v", err)
	}
	l.Record(admission(3)) // too late
	again := open(t, d, DefaultKeep)
	again.Record(admission(4))
	want = append(want, admission(4))
	if got := collect(t, again.Since(time.Time{})); !reflect.DeepEqual(got, want) {
		t.Errorf("opened again: %+v", got)
	}
	if got := collect(t, again.Since(start.Add(2*time.Second))); !reflect.DeepEqual(got, want[2:]) {
		t.Errorf("since: %+v", got)
	}
}

func TestFind(t *testing.T) {
	l := open(t, newDisk(t), DefaultKeep)
	for n := range 300 {
		l.Record(admission(n))
	}
	want := admission(123)
	if got, err := l.Find(want.ID[:12]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := l.Find("0"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	if _, err := l.Find("xyz"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if got := collect(t, l.OfTessera(sdk.TesseraID(id("tessera", 123)))); len(got) != 1 || got[0].ID != want.ID {
		t.Errorf("%d decisions of the tessera", len(got))
	}
	if got := collect(t, l.OfTessera(sdk.TesseraID(id("peer", 1)))); len(got) != 0 {
		t.Error("a peer is no tessera")
	}
	for range l.Since(time.Time{}) {
		break // stops early without harm
	}
}

func TestMoves(t *testing.T) {
	l := open(t, newDisk(t), DefaultKeep)
	want := []policy.Move{
		{Decision: "a", Time: start, Fragment: 3, From: sdk.NodeID(id("peer", 1)), To: sdk.NodeID(id("peer", 2))},
		{Decision: "a", Time: start, Fragment: 0, From: sdk.NodeID(id("peer", 2))},
	}
	l.Moved(want[0])
	l.Moved(policy.Move{Decision: "b", Time: start})
	l.Record(admission(0))
	l.Moved(want[1])
	if got, err := l.Moves("a"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := collect(t, l.Since(time.Time{})); len(got) != 1 {
		t.Errorf("moves taken for decisions: %+v", got)
	}
}

// onDisk sums up the segments.
func onDisk(t *testing.T, d *disk) (bytes int64, files int) {
	t.Helper()
	entries, err := d.ReadDir("decisions")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes, len(entries)
}

func TestTheLogIsBounded(t *testing.T) {
	const keep = 300_000
	d := newDisk(t)
	l := open(t, d, keep)
	for n := range 2000 {
		l.Record(admission(n))
		if n%100 == 99 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			if bytes, _ := onDisk(t, d); bytes > keep || bytes != l.total {
				t.Fatalf("%d bytes on disk, %d counted, %d are kept", bytes, l.total, keep)
			}
		}
	}
	got := collect(t, l.Since(time.Time{}))
	if bytes, files := onDisk(t, d); bytes < keep/2 || files < 4 || len(got) < 150 {
		t.Errorf("only %d decisions in %d bytes of %d files", len(got), bytes, files)
	}
	for i, g := range got {
		if want := admission(2000 - len(got) + i); g.ID != want.ID {
			t.Fatalf("the latest are not kept: %v at %d", g.Time, i)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	smaller := open(t, d, 100_000)
	if bytes, _ := onDisk(t, d); bytes > 100_000 || len(collect(t, smaller.Since(time.Time{}))) == 0 {
		t.Errorf("%d bytes kept", bytes)
	}
	if err := smaller.Close(); err != nil {
		t.Fatal(err)
	}
	none := open(t, d, 0)
	none.Record(admission(1))
	if bytes, files := onDisk(t, d); files != 0 || none.Lost() != 0 {
		t.Errorf("%d files with %d bytes", files, bytes)
	}
}

// TestATinyLog is smaller than a segment, and bounded all the same.
func TestATinyLog(t *testing.T) {
	const keep = 5000
	d := newDisk(t)
	l := open(t, d, keep)
	for n := range 50 {
		l.Record(admission(n))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if bytes, _ := onDisk(t, d); bytes > keep || bytes != l.total {
			t.Fatalf("%d bytes on disk, %d counted", bytes, l.total)
		}
	}
	if got := collect(t, l.Since(time.Time{})); len(got) == 0 || got[len(got)-1].ID != admission(49).ID || l.Lost() != 0 {
		t.Errorf("%d kept, %d lost", len(got), l.Lost())
	}
}

func TestLargeDecisions(t *testing.T) {
	l := open(t, newDisk(t), 200_000)
	large := func(n, size int) policy.Decision {
		d := admission(n)
		d.Request = bytes.Repeat([]byte{1}, size)
		return d
	}
	l.Record(admission(0))
	l.Record(large(1, 150_000)) // more than a segment
	if got := collect(t, l.Since(time.Time{})); len(got) != 2 {
		t.Errorf("%d kept", len(got))
	}
	l.Record(large(2, 190_000)) // takes the place of all others
	if got := collect(t, l.Since(time.Time{})); len(got) != 1 || got[0].ID != large(2, 0).ID {
		t.Errorf("%d kept", len(got))
	}
	l.Record(large(3, 200_000))
	l.Record(policy.Decision{Time: start.AddDate(9000, 0, 0)})
	if got := collect(t, l.Since(time.Time{})); len(got) != 1 || l.Lost() != 2 {
		t.Errorf("%d kept, %d lost", len(got), l.Lost())
	}
}

func TestOpenRefused(t *testing.T) {
	d := newDisk(t)
	if err := os.WriteFile(filepath.Join(d.Path(), "decisions"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var bad *fs.PathError
	if _, err := Open(d, "decisions", Config{Keep: 1}); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}

func TestRunFlushesEverySecond(t *testing.T) {
	d := newDisk(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, d, DefaultKeep)
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wg.Go(func() { l.Run(ctx) })
		l.Record(admission(0))
		time.Sleep(flushEvery - 1)
		synctest.Wait()
		if d.syncs.Load() != 0 {
			t.Error("synced at once")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if d.syncs.Load() != 1 {
			t.Errorf("%d syncs after a second", d.syncs.Load())
		}
		time.Sleep(10 * flushEvery)
		synctest.Wait()
		if d.syncs.Load() != 1 {
			t.Errorf("%d syncs though nothing happened", d.syncs.Load())
		}
		l.Record(admission(1))
		cancel()
		wg.Wait()
		if d.syncs.Load() != 2 {
			t.Error("not flushed at the end")
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	l := open(t, newDisk(t), 1<<20)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 200 {
				l.Record(admission(1000*w + n))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := l.Flush(); err != nil {
				t.Error(err)
			}
			for _, err := range l.Since(start.Add(time.Hour)) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	if got := collect(t, l.Since(time.Time{})); len(got) < 500 || l.Lost() != 0 {
		t.Errorf("%d kept, %d lost", len(got), l.Lost())
	}
}

func BenchmarkRecordAdmission(b *testing.B) {
	l := open(b, newDisk(b), DefaultKeep)
	d := admission(1)
	for b.Loop() {
		l.Record(d)
	}
}
