package cas

import (
	"context"
	"fmt"
	"testing"

	"github.com/tesseras/tesseras/host/digest"
)

func TestWalk(t *testing.T) {
	d := newDisk(t)
	s := open(t, d)
	want := map[string]bool{}
	for i := range 40 {
		o := stage(t, s, fmt.Append(nil, i), nil)
		want[Path(o.Hash)] = false
	}
	h := digest.Of([]byte("elsewhere"))
	for _, stray := range []string{
		"objects/stray", "objects/tmp/1-1", "objects/ab/note.txt", "objects/zz/" + h.String() + suffix, "objects/00/x.blob",
	} {
		d.write(t, stray, []byte("stray"))
		want[stray] = true
	}
	last := ""
	must(t, s.Walk(ctx, func(f Found) error {
		stray, ok := want[f.Path]
		if !ok || f.Stray() != stray || f.Size == 0 || f.ModTime.IsZero() {
			t.Errorf("found %+v, stray %v", f, f.Stray())
		}
		if f.Path <= last {
			t.Errorf("%s after %s", f.Path, last)
		}
		last = f.Path
		delete(want, f.Path)
		return nil
	}))
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantError(t, s.Walk(cancelled, func(Found) error { return nil }), context.Canceled)
}
