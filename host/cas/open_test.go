package cas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/tesseras/tesseras/host/digest"
)

// drain reads with a buffer of some size, or as io.Copy does for size 0.
func drain(r *Reader, size int) ([]byte, error) {
	if size == 0 {
		var b bytes.Buffer
		_, err := io.Copy(&b, r)
		return b.Bytes(), err
	}
	var out []byte
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

func TestReaderGivesTheObject(t *testing.T) {
	s := open(t, newDisk(t))
	for _, size := range sizes {
		content := randomBytes(uint64(size), size)
		o := stage(t, s, content, nil)
		for _, step := range []int{0, 7777, smallRead, chunk, 4 * chunk} {
			r, err := s.Open(o.Hash, o.Size)
			must(t, err)
			got, err := drain(r, step)
			must(t, err)
			must(t, r.Close())
			if !bytes.Equal(got, content) {
				t.Errorf("%d bytes by %d: other bytes came back", size, step)
			}
		}
	}
	content := randomBytes(3, 5000)
	o := stage(t, s, content, nil)
	r, err := s.Open(o.Hash, o.Size)
	must(t, err)
	defer r.Close()
	must(t, iotest.TestReader(r, content))
}

// TestEveryFlippedBitIsFound changes files in every way a disk may and reads them with every size of
// buffer. The last bytes of a damaged object never come out.
func TestEveryFlippedBitIsFound(t *testing.T) {
	injections := 0
	for _, size := range []int{1, 100, smallRead, chunk + 3} {
		content := randomBytes(uint64(size), size)
		d := newDisk(t)
		s := open(t, d)
		o := stage(t, s, content, nil)
		for at := 0; at < size; at += 1 + size/40 {
			wrong := bytes.Clone(content)
			wrong[at] ^= 1 << (at % 8)
			d.write(t, Path(o.Hash), wrong)
			for _, step := range []int{0, 999, smallRead, 4 * chunk} {
				injections++
				r, err := s.Open(o.Hash, o.Size)
				must(t, err)
				got, err := drain(r, step)
				wantError(t, err, ErrDamaged)
				if len(got) >= size {
					t.Fatalf("all %d bytes of a damaged object came out", len(got))
				}
				_, again := r.Read(make([]byte, 1))
				wantError(t, again, ErrDamaged)
				must(t, r.Close())
			}
		}
	}
	t.Logf("%d injections", injections)
}

func TestWrongSizeAndMissing(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	content := randomBytes(4, 1000)
	o := stage(t, s, content, nil)
	for _, n := range []int{0, 999, 1001} {
		d.write(t, Path(o.Hash), append(bytes.Clone(content), 0)[:n])
		for _, err := range []error{openError(s.Open(o.Hash, 1000)), openError(s.OpenAt(o.Hash, 1000))} {
			wantError(t, err, ErrDamaged)
		}
	}
	missing := digest.Of([]byte("missing"))
	for _, err := range []error{openError(s.Open(missing, 7)), openError(s.OpenAt(missing, 7))} {
		wantError(t, err, ErrMissing)
	}
	for h, want := range map[digest.Hash]bool{o.Hash: true, missing: false} {
		got, err := s.Contains(h)
		if err != nil || got != want {
			t.Errorf("contains: %v, %v", got, err)
		}
	}
}

func openError[T any](_ T, err error) error { return err }

// TestFileShrinksWhileItIsRead cuts a file between opening and reading.
func TestFileShrinksWhileItIsRead(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	content := randomBytes(4, 2*chunk)
	o := stage(t, s, content, nil)
	r, err := s.Open(o.Hash, o.Size)
	must(t, err)
	defer r.Close()
	f, err := d.OpenAppend(Path(o.Hash))
	must(t, err)
	must(t, f.Truncate(chunk+1))
	must(t, f.Close())
	_, err = drain(r, 0)
	wantError(t, err, ErrDamaged)
}

func TestReadErrorIsNotDamage(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	o := stage(t, s, randomBytes(4, 100), nil)
	r, err := s.Open(o.Hash, o.Size)
	must(t, err)
	defer r.Close()
	d.failNext(1, diskErrors[1])
	_, err = drain(r, 0)
	wantError(t, err, diskErrors[1])
	if errors.Is(err, ErrDamaged) {
		t.Error("a disk that cannot be read is no proof of damage")
	}
}

func TestOpenAtReadsAnywhere(t *testing.T) {
	s := open(t, newDisk(t))
	content := randomBytes(4, 10000)
	o := stage(t, s, content, nil)
	f, err := s.OpenAt(o.Hash, o.Size)
	must(t, err)
	defer f.Close()
	got := make([]byte, 100)
	_, err = f.ReadAt(got, 5000)
	must(t, err)
	if !bytes.Equal(got, content[5000:5100]) || f.Size() != 10000 {
		t.Error("other bytes came back")
	}
	must(t, iotest.TestReader(io.NewSectionReader(f, 0, f.Size()), content))
	if fmt.Sprint(f.Size()) != "10000" {
		t.Error(f.Size())
	}
}
