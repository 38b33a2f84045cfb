package gather_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/gather"
)

// shard is how many bytes a fragment of these tests has.
const shard = 16 << 20

// at gives a fragment at so many bytes a second.
func at(perSecond int) func(context.Context, int, func(int)) error {
	return func(ctx context.Context, _ int, progress func(int)) error {
		for left := shard; left > 0; left -= perSecond / 4 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second / 4):
				progress(perSecond / 4)
			}
		}
		return nil
	}
}

const (
	usual   = 1 << 20 // bytes a second: a fragment takes 16 s
	trickle = 5 << 10 // above what the transport cuts off
)

func TestASlowPeerIsHedgedByHowMuchSlowerItIs(t *testing.T) {
	for name, c := range map[string]struct {
		slow   int
		hedged bool
	}{
		"half as fast":        {usual / 2, false},
		"a third":             {usual / 3, false},
		"an eighth":           {usual / 8, true},
		"as slow as it dares": {trickle, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peers{do: doing{1: at(c.slow)}}
				sources := []gather.Source{{Peer: peer(1), Fragments: []int{0}}}
				for n := byte(2); n <= 5; n++ {
					p.do[n] = at(usual)
					sources = append(sources, gather.Source{Peer: peer(n), Fragments: []int{int(n) - 1}})
				}
				begun := time.Now()
				got, err := gather.Any(t.Context(), sources, nil, 4, p, gather.Config{Size: shard})
				if err != nil || slices.Contains(indices(got), 0) == c.hedged || slices.Contains(p.asked, "5/4") != c.hedged {
					t.Errorf("got %v, asked %v, %v", indices(got), p.asked, err)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// TestOneThatTricklesAloneIsWaitedFor: it is better than nobody.
func TestOneThatTricklesAloneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{1: at(trickle)}}
		got, err := gather.Any(t.Context(), []gather.Source{{Peer: peer(1), Fragments: []int{0}}}, nil, 1, p, gather.Config{Size: shard})
		if err != nil || len(got) != 1 || len(p.asked) != 1 {
			t.Errorf("got %v, asked %v, %v", got, p.asked, err)
		}
	})
}

// TestThoseThatTrickleInAllPlacesCostSeconds: they are asked first, and claim to have everything.
func TestThoseThatTrickleInAllPlacesCostSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{}}
		all := []int{0, 1, 2, 3, 4, 5, 6, 7}
		var sources []gather.Source
		for n := byte(1); n <= 4; n++ {
			p.do[n] = at(trickle)
			sources = append(sources, gather.Source{Peer: peer(n), Fragments: all})
		}
		for n := byte(5); n <= 8; n++ {
			p.do[n] = at(usual)
			sources = append(sources, gather.Source{Peer: peer(n), Fragments: all})
		}
		begun := time.Now()
		got, err := gather.Any(t.Context(), sources, nil, 8, p, gather.Config{Size: shard})
		if err != nil || len(got) != 8 {
			t.Fatalf("got %v, %v", got, err)
		}
		for _, g := range got {
			if g.From.Key[0] <= 4 {
				t.Errorf("fragment %d came from one that trickles", g.Index)
			}
		}
		if took := time.Since(begun); took > 2*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// TestTheSameFragmentIsAskedOfAnother: nobody has any other. The one that was asked first is stopped only
// once the other's is here.
func TestTheSameFragmentIsAskedOfAnother(t *testing.T) {
	for name, c := range map[string]struct {
		second int
		from   byte
	}{
		"which is quick":                        {usual, 2},
		"which trickles too, and comes to late": {trickle, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peers{do: doing{1: at(trickle), 2: at(c.second)}}
				sources := []gather.Source{{Peer: peer(1), Fragments: []int{0}}, {Peer: peer(2), Fragments: []int{0}}}
				got, err := gather.Any(t.Context(), sources, nil, 1, p, gather.Config{Size: shard})
				if err != nil || len(got) != 1 || got[0].From != peer(c.from) || len(p.asked) != 2 {
					t.Errorf("got %v, asked %v, %v", got, p.asked, err)
				}
			})
		})
	}
}

// TestOfThreeTheWorstGivesWay: no more than two are asked for one fragment at a time.
func TestOfThreeTheWorstGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{1: at(trickle), 2: hang, 3: at(usual)}}
		var sources []gather.Source
		for n := byte(1); n <= 3; n++ {
			sources = append(sources, gather.Source{Peer: peer(n), Fragments: []int{0}})
		}
		begun := time.Now()
		got, err := gather.Any(t.Context(), sources, nil, 1, p, gather.Config{Size: shard})
		if err != nil || len(got) != 1 || got[0].From != peer(3) || time.Since(begun) > time.Minute {
			t.Errorf("got %v after %s, %v", got, time.Since(begun), err)
		}
	})
}

// TestWhoIsHeardOfLaterIsAskedToo: those that came first name enough, and give nothing.
func TestWhoIsHeardOfLaterIsAskedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: doing{1: refuse, 2: at(trickle), 3: at(usual)}}
		more := make(chan gather.Source)
		go func() {
			time.Sleep(time.Second)
			more <- gather.Source{Peer: peer(3), Fragments: []int{0, 1}}
			close(more)
		}()
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0}}, {Peer: peer(2), Fragments: []int{1}}}
		begun := time.Now()
		got, err := gather.Any(t.Context(), sources, nil, 2, p, gather.Config{Size: shard, More: more})
		if err != nil || len(got) != 2 || got[0].From != peer(3) || got[1].From != peer(3) || time.Since(begun) > time.Minute {
			t.Errorf("got %v after %s, %v", got, time.Since(begun), err)
		}
	})
}
