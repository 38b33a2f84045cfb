package host_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/vfs"
)

// rots is how many faults TestWhateverRotsIsHealedByOneScrub injects.
var rots = suite.RotNode

// TestWhateverRotsIsHealedByOneScrub lets half of the files of a tessera rot at a time, and now and then its
// manifest and its plan: bits flip, sectors read as zeroes, files are cut and swapped. One scrub finds each of
// them and nothing else, and one repair brings every byte back (G7).
func TestWhateverRotsIsHealedByOneScrub(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(suite.Seed(t), 0))
	v, _ := newVillage(t, 6)
	owner := v.addThrough(func(disk vfs.FS) vfs.FS { return hasty{disk} }, t.TempDir())
	v.meet(owner, 7)
	sizes := map[string]int{}
	for i := range 300 {
		sizes[fmt.Sprint(i)] = 1 + rnd.IntN(2000)
	}
	made := create(t, owner, folder(t, sizes))
	owner.publish(made.ID)
	files := owner.objects()
	documents := []string{owner.manifest(made.ID), owner.plan(made.ID)}
	whole := map[string][]byte{}
	for _, path := range append(documents, files...) {
		whole[path] = read(t, path)
	}
	cases := 0
	for cases < rots.Cases() && !t.Failed() {
		victims := rot(t, rnd, whole, files)
		for _, path := range documents {
			if rnd.IntN(2) == 0 {
				damage(t, rnd, path)
				victims++
			}
		}
		cases += victims
		before := owner.Healed() // by a round of the node's own, too, which may come at any time
		if s := owner.scrubs(); s.Corrupt != victims {
			t.Errorf("of %d faults a scrub found %d", victims, s.Corrupt)
		}
		if r := owner.repair(made.ID); owner.Healed()-before != int64(victims) || r.Failed != 0 {
			t.Errorf("of %d faults %d were made good: %+v", victims, owner.Healed()-before, r.Failures)
		}
		for path, want := range whole {
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s came back otherwise, %v", path, err)
			}
		}
		if s := owner.scrubs(); s.Corrupt != 0 || len(s.Damage) != 0 {
			t.Errorf("after the repair %+v", s)
		}
	}
	rots.Executed(t, cases, "faults of a disk")
}

// hasty is a disk that does not take the time to sync: this is not about a loss of power.
type hasty struct{ vfs.FS }

func (hasty) SyncDir(string) error { return nil }

func (h hasty) Create(name string) (vfs.File, error) {
	f, err := h.FS.Create(name)
	return hastyFile{f}, err
}

type hastyFile struct{ vfs.File }

func (hastyFile) Sync() error { return nil }

// rot damages half of the files, and tells how many are not what they were.
func rot(t *testing.T, rnd *rand.Rand, whole map[string][]byte, files []string) (victims int) {
	t.Helper()
	order := rnd.Perm(len(files))[:len(files)/2]
	for len(order) > 0 {
		path := files[order[0]]
		order = order[1:]
		if rnd.IntN(4) > 0 || len(order) == 0 {
			damage(t, rnd, path)
			victims++
			continue
		}
		other := files[order[0]]
		order = order[1:]
		if err := os.WriteFile(path, whole[other], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(other, whole[path], 0o600); err != nil {
			t.Fatal(err)
		}
		victims += 2
	}
	return victims
}

// damage flips a bit of a file, zeroes a sector of it, or cuts it.
func damage(t *testing.T, rnd *rand.Rand, path string) {
	t.Helper()
	const sector = 512
	spoil(t, path, func(b []byte) []byte {
		out := bytes.Clone(b)
		at := rnd.IntN(len(b))
		switch rnd.IntN(3) {
		case 0:
			clear(out[at/sector*sector : min((at/sector+1)*sector, len(out))])
		case 1:
			return out[:at]
		}
		if bytes.Equal(out, b) { // a bit, or a sector that was zeroes before
			out[at] ^= 1 << rnd.IntN(8)
		}
		return out
	})
}
