package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/vfs"
)

// disk counts syncs and can fail one kind of operation.
type disk struct {
	vfs.FS
	syncs     atomic.Int64
	failWrite atomic.Bool
	failSync  atomic.Bool
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	dir, err := vfs.OpenDir(t.TempDir())
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	return &disk{FS: dir}
}

func (d *disk) OpenAppend(name string) (vfs.File, error) {
	f, err := d.FS.OpenAppend(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

type diskFile struct {
	vfs.File
	d *disk
}

func (f *diskFile) Write(p []byte) (int, error) {
	if f.d.failWrite.Load() {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f *diskFile) Sync() error {
	f.d.syncs.Add(1)
	if f.d.failSync.Load() {
		return syscall.EIO
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func open(t testing.TB, fsys vfs.FS, cfg Config) *Journal {
	t.Helper()
	j, err := Open(fsys, "state/journal", cfg)
	must(t, err)
	return j
}

func record(i int) Record {
	return Record{byte(1 + i%255), []byte(strings.Repeat(fmt.Sprint(i, " "), i%9))}
}

func appendRecords(t testing.TB, j *Journal, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		r := record(i)
		must(t, j.Append(r.Kind, r.Payload))
	}
}

// wantRecords checks that exactly the records 0 to n-1 are there.
func wantRecords(t testing.TB, j *Journal, n int) {
	t.Helper()
	i := 0
	for got, err := range j.Records() {
		must(t, err)
		if want := record(i); got.Kind != want.Kind || !bytes.Equal(got.Payload, want.Payload) {
			t.Fatalf("record %d is %+v", i, got)
		}
		i++
	}
	if i != n {
		t.Fatalf("%d records, want %d", i, n)
	}
}

func TestAppendAndReopen(t *testing.T) {
	d := newDisk(t)
	for round := range 4 {
		j := open(t, d, Config{SegmentSize: 700})
		wantRecords(t, j, round*50)
		appendRecords(t, j, round*50, round*50+50)
		wantRecords(t, j, round*50+50)
		must(t, j.Close())
		wantError(t, j.Append(1, nil), ErrClosed)
		wantError(t, j.Close(), ErrClosed)
	}
	entries, err := d.ReadDir("state/journal")
	must(t, err)
	if len(entries) < 5 {
		t.Errorf("only %d segments", len(entries))
	}
}

func TestWithoutClose(t *testing.T) {
	d := newDisk(t)
	for round := range 3 {
		j := open(t, d, Config{SegmentSize: 300})
		wantRecords(t, j, round*20)
		appendRecords(t, j, round*20, round*20+20)
	}
}

func TestNotARecord(t *testing.T) {
	j := open(t, newDisk(t), Config{})
	wantError(t, j.Append(0, nil), ErrTooBig)
	wantError(t, j.Append(1, make([]byte, MaxPayload+1)), ErrTooBig)
	must(t, j.Append(255, make([]byte, MaxPayload)))
}

// TestConcurrentAppendsShareSyncs: all arrive, with fewer syncs than records.
func TestConcurrentAppendsShareSyncs(t *testing.T) {
	const workers, each = 16, 40
	d := newDisk(t)
	j := open(t, d, Config{SegmentSize: 4000})
	before := d.syncs.Load()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := j.Append(byte(1+w), fmt.Append(nil, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[byte]int{}
	for r, err := range j.Records() {
		must(t, err)
		if string(r.Payload) != fmt.Sprint(next[r.Kind]) {
			t.Fatalf("record %q of worker %d, want %d", r.Payload, r.Kind, next[r.Kind])
		}
		next[r.Kind]++
	}
	for w := range workers {
		if next[byte(1+w)] != each {
			t.Errorf("%d of %d records of worker %d", next[byte(1+w)], each, w)
		}
	}
	t.Logf("%d syncs for %d records", d.syncs.Load()-before, workers*each)
	must(t, j.Close())
}

func TestFullDiskIsNotFinal(t *testing.T) {
	d := newDisk(t)
	j := open(t, d, Config{})
	appendRecords(t, j, 0, 5)
	d.failWrite.Store(true)
	for range 3 {
		wantError(t, j.Append(1, []byte("lost")), syscall.ENOSPC)
	}
	d.failWrite.Store(false)
	appendRecords(t, j, 5, 10)
	wantRecords(t, j, 10)
	must(t, j.Close())
	wantRecords(t, open(t, d, Config{}), 10)
}

func TestFailedSyncIsFinal(t *testing.T) {
	d := newDisk(t)
	j := open(t, d, Config{})
	appendRecords(t, j, 0, 5)
	d.failSync.Store(true)
	wantError(t, j.Append(1, []byte("uncertain")), syscall.EIO)
	d.failSync.Store(false)
	wantError(t, j.Append(1, []byte("refused")), ErrFailed)
	must(t, j.Close())
}

const lastSegment = "state/journal/00000001.log"

func readFile(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

func writeFile(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	must(t, fsys.MkdirAll("state/journal"))
	f, err := fsys.OpenAppend(name)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(0))
	_, err = f.Write(b)
	must(t, err)
}

// ends lists where each group of records ended, so how many records each length of the file keeps.
func grow(t *testing.T, n int) (file []byte, ends []int) {
	t.Helper()
	d := newDisk(t)
	j := open(t, d, Config{})
	for i := range n {
		appendRecords(t, j, i, i+1)
		ends = append(ends, len(readFile(t, d, lastSegment)))
	}
	return readFile(t, d, lastSegment), ends
}

// TestEveryTornTail cuts the file at every byte, with nothing, zeroes or junk behind the cut. All
// records wholly before the cut are there, and the journal goes on.
func TestEveryTornTail(t *testing.T) {
	file, ends := grow(t, 8)
	d := newDisk(t)
	cases := 0
	for cut := 0; cut <= len(file); cut++ {
		for _, tail := range [][]byte{nil, make([]byte, 30), bytes.Repeat([]byte{0xff}, 30)} {
			if cut < len(header) && len(tail) > 0 {
				continue // the header is synced before the segment has its name
			}
			cases++
			whole := 0
			for whole < len(ends) && ends[whole] <= cut {
				whole++
			}
			writeFile(t, d, lastSegment, append(bytes.Clone(file[:cut]), tail...))
			j := open(t, d, Config{})
			wantRecords(t, j, whole)
			appendRecords(t, j, whole, whole+2)
			wantRecords(t, j, whole+2)
			must(t, j.Close())
			wantRecords(t, open(t, d, Config{}), whole+2)
		}
	}
	t.Logf("%d cases", cases)
}

// TestDamageIsNeverPassedOver flips every bit that has a mark behind it: reading must tell, must give
// no wrong record, and must go on behind the damage; opening must not shorten the file.
func TestDamageIsNeverPassedOver(t *testing.T) {
	file, ends := grow(t, 6)
	last := ends[len(ends)-2] // what is before the last group has a mark behind it
	d := newDisk(t)
	cases := 0
	for at := len(header); at < last; at++ {
		cases++
		wrong := bytes.Clone(file)
		wrong[at] ^= 1 << (at % 8)
		writeFile(t, d, lastSegment, wrong)
		j := open(t, d, Config{})
		damages, records := readAll(j.Records())
		var damage *DamageError
		if len(damages) != 1 || !errors.As(damages[0], &damage) || !errors.Is(damages[0], ErrDamaged) {
			t.Fatalf("byte %d: %v", at, damages)
		}
		if damage.Offset > int64(at) || damage.Resumes <= int64(at) {
			t.Fatalf("byte %d: %+v", at, damage)
		}
		if len(records) < len(ends)-2 {
			t.Fatalf("byte %d: %d of %d records left", at, len(records), len(ends))
		}
		must(t, j.Append(9, []byte("after")))
		if _, more := readAll(j.Records()); len(more) != len(records)+1 {
			t.Fatalf("byte %d: %d records, then %d", at, len(records), len(more))
		}
		must(t, j.Close())
		if got := readFile(t, d, lastSegment); !bytes.HasPrefix(got, wrong) {
			t.Fatalf("byte %d: what was there was changed", at)
		}
	}
	t.Logf("%d cases", cases)
}

func readAll(seq iter.Seq2[Record, error]) (errs []error, records []Record) {
	for r, err := range seq {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		records = append(records, r)
	}
	return errs, records
}

// TestCleanEndIsMarked: after Close even the last record is known to have been durable.
func TestCleanEndIsMarked(t *testing.T) {
	d := newDisk(t)
	j := open(t, d, Config{})
	appendRecords(t, j, 0, 3)
	must(t, j.Close())
	file := readFile(t, d, lastSegment)
	file[len(file)-markFrame-1] ^= 1
	writeFile(t, d, lastSegment, file)
	errs, records := readAll(open(t, d, Config{}).Records())
	if len(errs) != 1 || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), errs)
	}
}

// TestDamagedHeader: a segment that is no journal is left as it is, and the journal goes on in another.
func TestDamagedHeader(t *testing.T) {
	d := newDisk(t)
	wrong := []byte("this is something else entirely")
	writeFile(t, d, lastSegment, wrong)
	j := open(t, d, Config{})
	must(t, j.Append(1, []byte("goes on")))
	errs, records := readAll(j.Records())
	if len(errs) == 0 || !errors.Is(errs[0], ErrDamaged) || len(records) != 1 || string(records[0].Payload) != "goes on" {
		t.Errorf("%v, %v", errs, records)
	}
	if got := readFile(t, d, lastSegment); !bytes.Equal(got, wrong) {
		t.Error("what was there was changed")
	}
}

func FuzzSegment(f *testing.F) {
	seed := appendMark([]byte(header), int64(len(header)))
	seed = appendFrame(seed, 1, []byte("payload"))
	f.Add(seed)
	f.Add(appendMark(seed, int64(len(seed))))
	f.Add(append(bytes.Clone(seed), 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		end, _ := tail(b)
		if len(b) >= len(header) && end > int64(len(b)) {
			t.Errorf("tail of %d bytes ends at %d", len(b), end)
		}
	})
}
