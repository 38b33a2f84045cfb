package gather_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// peers maps what each peer does when asked for a fragment.
type peers struct {
	mu    sync.Mutex
	asked []string
	do    map[byte]func(ctx context.Context, index int, progress func(int)) error
}

func peer(n byte) identity.Contact { return identity.Contact{Key: sdk.NodeKey{n}} }

func (p *peers) Fetch(ctx context.Context, from identity.Contact, index int, progress func(int)) error {
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprintf("%d/%d", from.Key[0], index))
	p.mu.Unlock()
	if do := p.do[from.Key[0]]; do != nil {
		return do(ctx, index, progress)
	}
	progress(100)
	return nil
}

func hang(ctx context.Context, _ int, _ func(int)) error {
	<-ctx.Done()
	return ctx.Err()
}

func refuse(context.Context, int, func(int)) error { return errors.New("no") }

func indices(got []gather.Got) (list []int) {
	for _, g := range got {
		list = append(list, g.Index)
	}
	slices.Sort(list)
	return list
}

func TestAnyPrefersDataShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{5, 0}}, {Peer: peer(2), Fragments: []int{1, 4}}, {Peer: peer(3), Fragments: []int{3, 2}}}
		got, err := gather.Any(t.Context(), sources, nil, 4, &peers{}, gather.Config{})
		if err != nil || !slices.Equal(indices(got), []int{0, 1, 2, 3}) {
			t.Errorf("got %v, %v", indices(got), err)
		}
	})
}

func TestAnySkipsWhatIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{}
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0, 1, 2}}}
		got, err := gather.Any(t.Context(), sources, []int{0, 1}, 1, p, gather.Config{})
		if err != nil || !slices.Equal(indices(got), []int{2}) || len(p.asked) != 1 {
			t.Errorf("got %v, asked %v, %v", got, p.asked, err)
		}
	})
}

func TestAnyGoesRoundPeersThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: map[byte]func(context.Context, int, func(int)) error{1: refuse}}
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0, 1, 2, 3}}, {Peer: peer(2), Fragments: []int{0, 1, 2, 3}}}
		got, err := gather.Any(t.Context(), sources, nil, 4, p, gather.Config{})
		if err != nil || !slices.Equal(indices(got), []int{0, 1, 2, 3}) {
			t.Errorf("got %v, %v", indices(got), err)
		}
		for _, g := range got {
			if g.From != peer(2) {
				t.Errorf("fragment %d came from a peer that refuses", g.Index)
			}
		}
	})
}

func TestAPeerThatHangsStallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: map[byte]func(context.Context, int, func(int)) error{1: hang, 2: hang, 3: hang, 4: hang}}
		var sources []gather.Source
		for n := range byte(8) {
			sources = append(sources, gather.Source{Peer: peer(n + 1), Fragments: []int{int(n)}})
		}
		begun := time.Now()
		got, err := gather.Any(t.Context(), sources, nil, 4, p, gather.Config{Concurrent: 4, Stall: 2 * time.Second})
		if err != nil || !slices.Equal(indices(got), []int{4, 5, 6, 7}) {
			t.Errorf("got %v, %v", indices(got), err)
		}
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestTooFewIsATypedError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{do: map[byte]func(context.Context, int, func(int)) error{2: refuse}}
		sources := []gather.Source{{Peer: peer(1), Fragments: []int{0, 1}}, {Peer: peer(2), Fragments: []int{2}}}
		got, err := gather.Any(t.Context(), sources, nil, 3, p, gather.Config{})
		var few *gather.InsufficientError
		if !errors.As(err, &few) || few.Have != 2 || few.Need != 3 || len(few.Causes) != 1 || len(got) != 2 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestCancelWaitsForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ended := false
		p := &peers{do: map[byte]func(context.Context, int, func(int)) error{1: func(ctx context.Context, _ int, _ func(int)) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return ctx.Err()
		}}}
		_, err := gather.Any(ctx, []gather.Source{{Peer: peer(1), Fragments: []int{0}}}, nil, 1, p, gather.Config{})
		if !errors.Is(err, context.DeadlineExceeded) || !ended {
			t.Errorf("%v, ended %v", err, ended)
		}
	})
}
