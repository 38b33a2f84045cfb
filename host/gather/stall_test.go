package gather_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/gather"
)

type doing = map[byte]func(ctx context.Context, index int, progress func(int)) error

func TestAStalledFragmentIsAskedOfAnotherWhenNoneElseIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{1: hang}}
		begun := time.Now()
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0, 1, 2, 3}}, {Peer: peer(2), Fragments: []int{0, 1, 2, 3}}}
		got, err := gather.Any(t.Context(), sources, nil, 4, p, gather.Config{Stall: time.Second})
		if err != nil || !slices.Equal(indices(got), []int{0, 1, 2, 3}) {
			t.Fatalf("got %v, %v", got, err)
		}
		for _, g := range got {
			if g.From != peer(2) {
				t.Errorf("fragment %d is said to be from one that hangs", g.Index)
			}
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestALoneStalledSourceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ int, progress func(int)) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Second):
				progress(1)
				return nil
			}
		}
		p := &peers{do: doing{1: slow}}
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0, 1}}, {Peer: peer(2), Fragments: []int{2}}}
		got, err := gather.Any(t.Context(), sources, nil, 3, p, gather.Config{Stall: time.Second})
		if err != nil || len(got) != 3 || len(p.asked) != 3 {
			t.Errorf("got %v after %v, %v", got, p.asked, err)
		}
	})
}

func TestManyThatHangCostOneStallEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{}}
		all := []int{0, 1, 2, 3, 4, 5, 6, 7}
		var sources []gather.Source
		for n := byte(1); n <= 6; n++ {
			p.do[n] = hang
			sources = append(sources, gather.Source{Peer: peer(n), Fragments: all})
		}
		sources = append(sources, gather.Source{Peer: peer(7), Fragments: all})
		begun := time.Now()
		got, err := gather.Any(t.Context(), sources, nil, 8, p, gather.Config{Stall: time.Second})
		if err != nil || len(got) != 8 {
			t.Fatalf("got %v, %v", got, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("six that hang cost %s", took)
		}
	})
}
