package cas

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// fullSize is how many operations TestAlmostFull does.
var fullSize = suite.FullStore

// TestAlmostFull puts and releases on a disk that is full most of the time, with a reserve and without:
// every refusal is clean, what the disk holds is at all times what was acknowledged and nothing else, and
// the reserve is not touched by more than the one object that was on its way.
func TestAlmostFull(t *testing.T) {
	const size, largest = 400 << 10, 20 << 10
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	cases, refused := 0, 0
	for _, reserve := range []uint64{0, 100 << 10} {
		fsys := crashfs.New(crashfs.Options{Size: size})
		s, err := New(fsys, Config{MinFree: reserve, room: 1024})
		must(t, err)
		kept, total := map[digest.Hash][]byte{}, uint64(0)
		for range fullSize.Cases() / 2 {
			cases++
			if rnd.IntN(3) == 0 && len(kept) > 0 {
				h := slices.MinFunc(slices.Collect(maps.Keys(kept)), func(a, b digest.Hash) int { return bytes.Compare(a[:], b[:]) })
				_, err := s.Remove(h, never)
				must(t, err)
				total -= uint64(len(kept[h]))
				delete(kept, h)
			} else {
				content := randomBytes(rnd.Uint64(), rnd.IntN(largest))
				o, err := s.Stage(ctx, bytes.NewReader(content), nil)
				switch {
				case err == nil:
					s.Unpin(o.Hash)
					kept[o.Hash] = content
					total += uint64(len(content))
				case errors.Is(err, ErrNoSpace) || reserve == 0 && errors.Is(err, syscall.ENOSPC):
					refused++
				default:
					t.Fatal(err)
				}
			}
			if used := fsys.Used(); used != total || size-used+largest < reserve {
				t.Fatalf("the disk holds %d bytes, %d were acknowledged, %d are to stay free", used, total, reserve)
			}
		}
		for _, content := range kept {
			must(t, readsAs(s, content))
		}
	}
	if refused == 0 {
		t.Error("the disk was never full")
	}
	fullSize.Executed(t, cases, "operations on a full disk")
}
