package fragment

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/internal/suite"
)

// faultSize is how many failed calls TestEveryCallOfASpoolFails makes.
var faultSize = suite.FaultFragment

// TestEveryCallOfASpoolFails lets every single call of a publish's spool fail with each error of a disk.
// The error is told, or nothing came of it; and what the next process believes of the spool, after any
// loss of power, is right by the plan.
func TestEveryCallOfASpoolFails(t *testing.T) {
	p := coded(3, 2, 64, 1000)
	packed := randomBytes(7, int(p.Packed))
	_, plan := encoded(t, p, packed)
	cases := 0
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for at, failed := 1, true; failed; at++ {
			disk := crashfs.New(crashfs.Options{})
			disk.FailAt(at, failure)
			err := publishInto(disk, p, packed)
			call := disk.Failed()
			disk.FailAt(0, nil)
			if failed = call != ""; !failed && err != nil || failed && err != nil && !errors.Is(err, failure) {
				t.Fatalf("%s fails: %v", call, err)
			}
			for _, left := range []*crashfs.FS{disk, disk.Crash(crashfs.Nothing()), disk.Crash(crashfs.Everything())} {
				cases++
				believes(t, left, plan, call)
			}
			if err := publishInto(disk, p, packed); err != nil {
				t.Fatalf("%s failed, then: %v", call, err)
			}
			if got := believes(t, disk, plan, call); len(got) != p.Total() {
				t.Fatalf("%s failed, and then the spool holds %v", call, got)
			}
		}
	}
	faultSize.Executed(t, cases, "spools after a failed call")
}

// publishInto does what a publish does with its spool.
func publishInto(disk *crashfs.FS, p Params, packed []byte) error {
	s, err := OpenSpool(disk, "publish")
	if err != nil {
		return err
	}
	hashes, err := Encode(context.Background(), p, bytes.NewReader(packed), s)
	if err != nil {
		return err
	}
	return s.Finish(p, hashes)
}

// believes gives the shards that the next process takes from a spool, and checks that it may.
func believes(t *testing.T, disk *crashfs.FS, plan *FragmentPlan, call string) []int {
	t.Helper()
	s, err := OpenSpool(disk, "publish")
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := s.Encoded(plan.Params)
	if err == nil && !slices.Equal(hashes, plan.Fragments) || err != nil && !errors.Is(err, ErrNotSpooled) {
		t.Fatalf("%s failed, and the spool says it holds %v: %v", call, hashes, err)
	}
	good, err := s.Complete(t.Context(), plan)
	if err != nil {
		t.Fatalf("%s failed, then: %v", call, err)
	}
	for _, i := range good {
		content, err := disk.Content(s.shard(i))
		if err != nil || verify(t.Context(), plan.Fragments[i], plan.ShardSize(), bytes.NewReader(content)) != nil {
			t.Fatalf("%s failed, and shard %d of %d bytes is believed: %v", call, i, len(content), err)
		}
	}
	return good
}
