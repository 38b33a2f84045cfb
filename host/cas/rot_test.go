package cas

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// rotSize is how many faults TestRot makes.
var rotSize = suite.RotStore

// rots are the faults of disks that the disk does not tell of.
var rots = []struct {
	name string
	do   func(b []byte, rnd *rand.Rand) []byte
}{
	{"a flipped bit", func(b []byte, rnd *rand.Rand) []byte {
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		return b
	}},
	{"a zeroed sector", func(b []byte, rnd *rand.Rand) []byte {
		at := rnd.IntN(len(b)) &^ 511
		clear(b[at:min(at+512, len(b))])
		return b
	}},
	{"a page of another time", func(b []byte, rnd *rand.Rand) []byte {
		at := rnd.IntN(len(b)) &^ 4095
		for i := range b[at:min(at+4096, len(b))] {
			b[at+i] ^= byte(1 + rnd.IntN(255))
		}
		return b
	}},
	{"truncation", func(b []byte, rnd *rand.Rand) []byte { return b[:rnd.IntN(len(b))] }},
	{"growth", func(b []byte, rnd *rand.Rand) []byte { return append(b, make([]byte, 1+rnd.IntN(600))...) }},
}

// TestRot damages one object, or swaps two: reading tells of each that was hit and of no other, whatever
// the size of the reads, and putting the content again heals it.
func TestRot(t *testing.T) {
	seed := suite.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	fsys := crashfs.New(crashfs.Options{})
	s, err := New(fsys, Config{})
	must(t, err)
	contents := rotContents(t, s, rnd)
	cases := 0
	for ; cases < rotSize.Cases(); cases++ {
		hit, name := rot(t, fsys, contents, rnd)
		for i, content := range contents {
			err := readsInSteps(s, content, 1+rnd.IntN(9000))
			if _, bad := hit[i]; bad && !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s of object %d gives %v", name, i, err)
			} else if !bad && err != nil {
				t.Fatalf("%s of others than object %d: %v", name, i, err)
			}
		}
		for i := range hit {
			if o := stage(t, s, contents[i], nil); o.Duplicate {
				t.Fatalf("%s: a damaged object is called a duplicate", name)
			}
			must(t, readsInSteps(s, contents[i], 5000))
		}
	}
	rotSize.Executed(t, cases, "faults of the disk found on read")
}

// rotContents puts a few objects of different sizes.
func rotContents(t *testing.T, s *Store, rnd *rand.Rand) (contents [][]byte) {
	t.Helper()
	for _, size := range []int{1, 511, 512, 513, 4096, 10_000, 40_000, 40_000} {
		content := randomBytes(rnd.Uint64(), size)
		for i := range content {
			content[i] |= 1 // a zeroed byte is another one
		}
		stage(t, s, content, nil)
		contents = append(contents, content)
	}
	return contents
}

// rot makes one fault and tells whom it hit.
func rot(t *testing.T, fsys *crashfs.FS, contents [][]byte, rnd *rand.Rand) (hit map[int]struct{}, name string) {
	t.Helper()
	i, j := rnd.IntN(len(contents)), rnd.IntN(len(contents))
	kind := rnd.IntN(len(rots) + 1)
	if kind < len(rots) {
		must(t, fsys.Damage(Path(digest.Of(contents[i])), func(b []byte) []byte { return rots[kind].do(b, rnd) }))
		return map[int]struct{}{i: {}}, rots[kind].name
	}
	if i == j {
		j = (i + 1) % len(contents)
	}
	must(t, fsys.Damage(Path(digest.Of(contents[i])), func([]byte) []byte { return contents[j] }))
	must(t, fsys.Damage(Path(digest.Of(contents[j])), func([]byte) []byte { return contents[i] }))
	return map[int]struct{}{i: {}, j: {}}, "swapped files"
}

// readsInSteps reads an object with buffers of some size and tells how that ended.
func readsInSteps(s *Store, content []byte, step int) error {
	r, err := s.Open(digest.Of(content), int64(len(content)))
	if err != nil {
		return err
	}
	defer r.Close()
	for buf := make([]byte, step); ; {
		if _, err := r.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
