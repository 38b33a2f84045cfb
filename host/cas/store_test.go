package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	suite.CollectLess()
	os.Exit(m.Run())
}

func open(t testing.TB, d *disk) *Store {
	t.Helper()
	s, err := New(d, Config{})
	must(t, err)
	return s
}

func stage(t testing.TB, s *Store, content []byte, known *digest.Hash) Object {
	t.Helper()
	o, err := s.Stage(ctx, bytes.NewReader(content), known)
	must(t, err)
	s.Unpin(o.Hash)
	return o
}

// intact reads an object back, verified.
func intact(t testing.TB, s *Store, content []byte) {
	t.Helper()
	r, err := s.Open(digest.Of(content), int64(len(content)))
	must(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	must(t, err)
	if !bytes.Equal(got, content) {
		t.Fatal("other bytes came back")
	}
}

var sizes = []int{0, 1, 100, light, light + 1, smallRead, chunk - 1, chunk, chunk + 1, 3*chunk + 5}

func TestStage(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%d known %v", size, known), func(t *testing.T) {
				d := newDisk(t)
				s, content := open(t, d), randomBytes(uint64(size), size)
				h := digest.Of(content)
				hint := &h
				if !known {
					hint = nil
				}
				for _, duplicate := range []bool{false, true} {
					o := stage(t, s, content, hint)
					if o != (Object{h, int64(size), duplicate}) {
						t.Fatalf("staged %+v", o)
					}
					if got := d.names(t); !slices.Equal(got, []string{Path(h)}) {
						t.Fatalf("files: %q", got)
					}
					if !d.durable(Path(h)) {
						t.Fatal("not durable when acknowledged")
					}
					intact(t, s, content)
				}
			})
		}
	}
}

// TestDuplicateIsMadeDurable stages what a process wrote that died before it had synced.
func TestDuplicateIsMadeDurable(t *testing.T) {
	content := []byte("left by the dead")
	h := digest.Of(content)
	for name, put := range everyWay(content, h) {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			must(t, open(t, d).folders.make(h))
			d.write(t, Path(h), content)
			d.setFile(Path(h), true)
			d.setDir(folderOf(h), true)
			d.setDir(folder, true)
			o, err := put(open(t, d))
			must(t, err)
			if !o.Duplicate || !d.durable(Path(h)) {
				t.Errorf("duplicate %v, durable %v", o.Duplicate, d.durable(Path(h)))
			}
		})
	}
}

// everyWay lists the ways by which a content can be put.
func everyWay(content []byte, h digest.Hash) map[string]func(*Store) (Object, error) {
	return map[string]func(*Store) (Object, error){
		"unknown": func(s *Store) (Object, error) { return s.Stage(ctx, bytes.NewReader(content), nil) },
		"known":   func(s *Store) (Object, error) { return s.Stage(ctx, bytes.NewReader(content), &h) },
		"batch": func(s *Store) (Object, error) {
			b := s.Batch()
			defer b.Close()
			o, err := b.Stage(ctx, bytes.NewReader(content))
			return o, errors.Join(err, b.Sync())
		},
	}
}

// TestWrongFileIsHealed puts over files that are not what their name says.
func TestWrongFileIsHealed(t *testing.T) {
	for _, size := range []int{1, 5000, 2*chunk + 100} {
		content := randomBytes(9, size)
		h := digest.Of(content)
		flip := func(at int) []byte {
			b := bytes.Clone(content)
			b[at] ^= 1
			return b
		}
		wrongs := map[string][]byte{
			"empty": {}, "short": content[:size-1], "long": append(bytes.Clone(content), 7),
			"first": flip(0), "middle": flip(size / 2), "last": flip(size - 1), "half": content[:size/2],
		}
		for name, wrong := range wrongs {
			for way, put := range everyWay(content, h) {
				t.Run(fmt.Sprintf("%d %s %s", size, name, way), func(t *testing.T) {
					d := newDisk(t)
					s := open(t, d)
					d.write(t, Path(h), wrong)
					o, err := put(s)
					must(t, err)
					if o.Duplicate || !d.durable(Path(h)) {
						t.Errorf("duplicate %v, durable %v", o.Duplicate, d.durable(Path(h)))
					}
					intact(t, s, content)
				})
			}
		}
	}
}

func TestOtherContentThanKnown(t *testing.T) {
	good, bad := randomBytes(1, chunk+10), randomBytes(2, chunk+10)
	h := digest.Of(good)
	d := newDisk(t)
	s := open(t, d)
	for _, there := range []bool{false, true} {
		for _, b := range [][]byte{bad, good[:chunk], append(bytes.Clone(good), 1), nil} {
			_, err := s.Stage(ctx, bytes.NewReader(b), &h)
			wantError(t, err, digest.ErrMismatch)
			if got := d.names(t); len(got) > 1 || len(got) == 1 && !there {
				t.Fatalf("a refused content left %q", got)
			}
		}
		stage(t, s, good, &h)
		intact(t, s, good)
	}
}

func TestBrokenInput(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	gone := errors.New("gone")
	h := digest.Of([]byte("x"))
	for _, prefix := range []int{0, 10, chunk, chunk + 1} {
		for _, known := range []*digest.Hash{nil, &h} {
			r := io.MultiReader(bytes.NewReader(make([]byte, prefix)), iotest.ErrReader(gone))
			_, err := s.Stage(ctx, r, known)
			wantError(t, err, gone)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Stage(cancelled, strings.NewReader("x"), nil)
	wantError(t, err, context.Canceled)
	if got := d.names(t); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
	noPins(t, s)
}

func noPins(t *testing.T, s *Store) {
	t.Helper()
	for i := range s.stripes {
		if n := len(s.stripes[i].pins); n > 0 {
			t.Errorf("%d pins left", n)
		}
	}
}

func TestTooLittleFreeSpace(t *testing.T) {
	d := newDisk(t)
	s, err := New(d, Config{MinFree: 1000})
	must(t, err)
	d.free = 999
	var refusal *NoSpaceError
	_, err = s.Stage(ctx, strings.NewReader("x"), nil)
	if !errors.As(err, &refusal) || !errors.Is(err, ErrNoSpace) || refusal.Free != 999 || refusal.Keep != 1000 {
		t.Errorf("stage: %v", err)
	}
	_, err = s.Batch().Stage(ctx, strings.NewReader("x"))
	wantError(t, err, ErrNoSpace)
	d.free = 1500
	wantError(t, s.Room(501), ErrNoSpace)
	must(t, s.Room(500))
	stage(t, s, []byte("x"), nil)
}

// TestAStreamStopsAtTheFloor lets the disk fill up while a content of unknown size comes: it stops
// cleanly long before its end, and nothing of it stays.
func TestAStreamStopsAtTheFloor(t *testing.T) {
	stagers := map[string]func(*Store, io.Reader) error{
		"stage": func(s *Store, r io.Reader) error { _, err := s.Stage(ctx, r, nil); return err },
		"known": func(s *Store, r io.Reader) error { _, err := s.Stage(ctx, r, &digest.Hash{1}); return err },
		"batch": func(s *Store, r io.Reader) error {
			b := s.Batch()
			defer b.Close()
			_, err := b.Stage(ctx, r)
			return err
		},
	}
	for name, stage := range stagers {
		d := newDisk(t)
		s, err := New(d, Config{MinFree: 1 << 20})
		must(t, err)
		r := &filling{d: d, left: 64 << 20}
		wantError(t, stage(s, r), ErrNoSpace)
		if r.left < 32<<20 {
			t.Errorf("%s: it stopped with %d bytes to come", name, r.left)
		}
		if files := d.names(t); len(files) != 0 {
			t.Errorf("%s: %q are left", name, files)
		}
	}
}

// filling is a stream during which the disk runs full, after the first 4 MiB.
type filling struct {
	d    *disk
	left int
}

func (f *filling) Read(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.left < 60<<20 {
		f.d.free = 1000
	}
	n := min(len(p), f.left)
	f.left -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestTemporaryFilesAreCleared(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	stage(t, s, []byte("keep"), nil)
	d.write(t, tmpFolderOf(3)+"/left", []byte("over"))
	s = open(t, d)
	if got, want := d.names(t), []string{Path(digest.Of([]byte("keep")))}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	intact(t, s, []byte("keep"))
}

// TestSameHashSamePath: a path is a function of the content alone, and no other content has it.
func TestSameHashSamePath(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	seen := map[string]string{}
	rapid.Check(t, func(rt *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "content")
		o, err := s.Stage(ctx, bytes.NewReader(content), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Unpin(o.Hash)
		p := Path(o.Hash)
		if old, ok := seen[p]; ok && old != string(content) || ok != o.Duplicate {
			rt.Fatalf("%s: duplicate %v, was %q, is %q", p, o.Duplicate, old, content)
		}
		seen[p] = string(content)
		if got := d.read(t, p); !bytes.Equal(got, content) {
			rt.Fatalf("%s holds %q", p, got)
		}
	})
	if got := d.names(t); len(got) != len(seen) {
		t.Errorf("%d files for %d contents", len(got), len(seen))
	}
}

// TestEveryOperationFailsOnce lets each file system operation of a put fail: the error is told, nothing
// is pinned or left behind, a put again succeeds, and what was there before stays intact.
func TestEveryOperationFailsOnce(t *testing.T) {
	cases := 0
	for _, failure := range diskErrors {
		cases += failEverywhere(t, failure, randomBytes(5, 5000), 2000)
	}
	cases += failEverywhere(t, diskErrors[0], randomBytes(5, chunk+9), chunk)
	t.Logf("%d failures", cases)
}

// failEverywhere puts a content in every way, over every state of its file, failing everywhere once.
func failEverywhere(t *testing.T, failure error, content []byte, wrongFrom int) (cases int) {
	h := digest.Of(content)
	wrong := append(bytes.Clone(content[:wrongFrom]), "123456789"...)
	before := []byte("before")
	for _, state := range []string{"missing", "there", "wrong"} {
		for way, put := range everyWay(content, h) {
			for at := 1; ; at++ {
				d := newDisk(t)
				s := open(t, d)
				stage(t, s, before, nil)
				switch state {
				case "there":
					stage(t, s, content, nil)
				case "wrong":
					d.write(t, Path(h), wrong)
				}
				d.failNext(at, failure)
				o, err := put(s)
				if d.failed == "" {
					must(t, err)
					break
				}
				cases++
				name := fmt.Sprintf("%s, %s, %v at %s", state, way, failure, d.failed)
				if err == nil && (d.failed != "read" || o.Duplicate) {
					t.Fatalf("%s: no error", name)
				}
				if err != nil && !errors.Is(err, failure) {
					t.Fatalf("%s: %v", name, err)
				}
				if err == nil && way != "batch" {
					s.Unpin(h)
				}
				d.failNext(0, nil)
				checkAfterFailure(t, name, d, s)
				intact(t, s, before)
				stage(t, s, content, nil)
				intact(t, s, content)
			}
		}
	}
	return cases
}

func checkAfterFailure(t *testing.T, name string, d *disk, s *Store) {
	t.Helper()
	for _, n := range d.names(t) {
		if strings.HasPrefix(n, tmpFolder) {
			t.Fatalf("%s: %s is left", name, n)
		}
	}
	for i := range s.stripes {
		if len(s.stripes[i].pins) > 0 {
			t.Fatalf("%s: a pin is left", name)
		}
	}
}
