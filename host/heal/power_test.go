package heal

import (
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/cas"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// faultSize is how many failed calls TestEveryCallFails makes.
var faultSize = suite.FaultHeal

// TestEveryCallFails lets every single call of the healing of a fragment and of a file fail once with each
// error of a disk: what is called healed then is whole and durable, the rest is still known to be damaged, and
// the next try makes it good.
func TestEveryCallFails(t *testing.T) {
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for at := 1; callFails(t, at, failure); at++ {
			cases++
		}
	}
	faultSize.Executed(t, cases, "failed calls of healing")
}

func callFails(t *testing.T, at int, failure error) bool {
	t.Helper()
	disk := crashfs.New(crashfs.Options{})
	r := newRoomOn(t, disk)
	id, packed := pack(t, map[string]string{"a": "first", "b": "second"})
	contents := map[digest.Hash]string{r.loseFile(id, "b", "second"): "second", r.loseFragment(id, 3, "fragment"): "fragment"}
	r.peers[id] = &collected{has: map[int][]byte{3: []byte("fragment")}, packed: packed}

	disk.FailAt(at, failure)
	got := r.heal()
	call := disk.Failed()
	disk.FailAt(0, nil)
	if call == "" {
		if got.Healed != 2 || len(got.Failed) != 0 {
			t.Fatalf("%+v", got)
		}
		return false
	}
	for _, f := range got.Failed {
		if !errors.Is(f.Err, failure) {
			t.Fatalf("%s fails: %v", call, f.Err)
		}
	}
	for way, left := range disk.Aftermath(rand.New(rand.NewPCG(1, 0))) {
		r.isHealed(call, way, left, contents)
	}
	if again := r.heal(); got.Healed+again.Healed != 2 || len(again.Failed) != 0 || r.damaged() != 0 {
		t.Fatalf("%s failed with %v: %+v, then %+v", call, failure, got, again)
	}
	r.isHealed(call, 0, disk.Crash(crashfs.Nothing()), contents)
	return true
}

// isHealed compares what is called healed with a disk.
func (r *room) isHealed(call string, way int, left *crashfs.FS, contents map[digest.Hash]string) {
	r.t.Helper()
	objects, err := cas.New(left, cas.Config{})
	must(r.t, err)
	known := map[digest.Hash]bool{}
	patients, err := r.patients(nil, time.Now())
	must(r.t, err)
	for _, p := range patients {
		for h := range p.files {
			known[h] = true
		}
		for _, h := range p.fragments {
			known[h] = true
		}
	}
	for h, content := range contents {
		if known[h] {
			continue
		}
		f, err := objects.Open(h, int64(len(content)))
		if err != nil {
			r.t.Fatalf("%s failed (way %d): %q is called healed: %v", call, way, content, err)
		}
		_, err = f.WriteTo(io.Discard)
		if err = errors.Join(err, f.Close()); err != nil {
			r.t.Fatalf("%s failed (way %d): %q is called healed: %v", call, way, content, err)
		}
	}
}
