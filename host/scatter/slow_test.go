package scatter_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/policy"
	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

// shard is how many bytes a fragment of these tests has.
const shard = 16 << 20

const (
	usual   = 1 << 20 // bytes a second: a fragment takes 16 s
	trickle = 5 << 10 // above what the transport cuts off
)

// street is a set of peers that take what is pushed at a pace of their own.
type street struct {
	pace  map[identity.Contact]int // bytes a second; 0 = usual
	stays map[identity.Contact]bool

	mu     sync.Mutex // guards below
	active map[int]int
	most   int             // pushes at a time
	pairs  int             // most pushes of one fragment at a time
	began  map[int]int     // pushes by fragment
	has    map[[2]int]bool // fragment, peer
}

func newStreet() *street {
	return &street{
		pace: map[identity.Contact]int{}, stays: map[identity.Contact]bool{},
		active: map[int]int{}, began: map[int]int{}, has: map[[2]int]bool{},
	}
}

// send implements Job.Send. Who stays acknowledges what it was sent also when it is stopped.
func (s *street) send(ctx context.Context, to identity.Contact, index int, moved func(int)) error {
	s.count(index, 1)
	defer s.count(index, -1)
	pace := s.pace[to]
	if pace == 0 {
		pace = usual
	}
	for left := shard; left > 0; left -= pace / 4 {
		select {
		case <-ctx.Done():
			if !s.stays[to] {
				return ctx.Err()
			}
			left = 0
		case <-time.After(time.Second / 4):
			moved(pace / 4)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[[2]int{index, int(to.Key[0])}] = true
	return nil
}

func (s *street) count(index, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by > 0 {
		s.began[index]++
	}
	s.active[index] += by
	total := 0
	for _, n := range s.active {
		total += n
	}
	s.most, s.pairs = max(s.most, total), max(s.pairs, s.active[index])
}

// give does a job of so many fragments with the real engine and the default policy, in virtual time.
func (s *street) give(t *testing.T, fragments int, peers []scatter.Candidate, atMost int) (scatter.Result, time.Duration) {
	t.Helper()
	engine := policy.New(policy.Deps{}, policy.Config{})
	t.Cleanup(func() { _ = engine.Close() })
	begun := time.Now()
	result, err := scatter.Run(t.Context(), engine, 4, scatter.Job{
		Tessera: sdk.TesseraID{1}, Tier: sdk.FragmentationTier_MEDIUM, Data: 16, Parity: 8, ShardSize: shard,
		Intent: sdk.Intent_NEW, Caps: &sdk.Caps{Replicas: 7}, AtMost: atMost,
		Missing: missing(fragments), Candidates: peers, Send: s.send,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range result.Placed {
		if !s.has[[2]int{p.Index, int(p.Peer.Key[0])}] {
			t.Errorf("fragment %d is said to be at %d, which did not acknowledge it", p.Index, p.Peer.Key[0])
		}
	}
	if len(result.Placed) != len(s.has) {
		t.Errorf("%d were acknowledged, and %d count", len(s.has), len(result.Placed))
	}
	return result, time.Since(begun)
}

// first lists the peers that the fragments of a job go to when all are alike.
func first(t *testing.T, fragments int, peers []scatter.Candidate) (list []identity.Contact) {
	t.Helper()
	var mu sync.Mutex
	_, err := run(t.Context(), t, 1, missing(fragments), peers, func(_ context.Context, to identity.Contact, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, to)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestFourThatTrickleAmongThirtyHoldUpNobody: they are the first that are asked, and take all places.
func TestFourThatTrickleAmongThirtyHoldUpNobody(t *testing.T) {
	for name, stays := range map[string]bool{"what they got is lost": false, "they acknowledge it when they are stopped": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peers := newStreet(), candidates(30)
				for _, c := range first(t, 24, peers)[:4] {
					s.pace[c], s.stays[c] = trickle, stays
				}
				result, took := s.give(t, 24, peers, 0)
				if len(result.Left) != 0 || len(result.Failures) != 0 {
					t.Fatalf("left %v, failures %v", result.Left, result.Failures)
				}
				if took > 4*time.Minute { // 96 s without them
					t.Errorf("took %s", took)
				}
				if s.most > 8 || s.pairs > 2 {
					t.Errorf("%d pushes at a time, %d of one fragment", s.most, s.pairs)
				}
				surplus := 0
				if stays {
					surplus = 4
				}
				if len(result.Placed) != 24+surplus {
					t.Errorf("%d copies were placed", len(result.Placed))
				}
			})
		})
	}
}

func TestASlowPeerIsHedgedByHowMuchSlowerItIs(t *testing.T) {
	for name, c := range map[string]struct {
		slow   int
		hedged bool
	}{
		"half as fast": {usual / 2, false},
		"a third":      {usual / 3, false},
		"an eighth":    {usual / 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peers := newStreet(), candidates(30)
				s.pace[first(t, 4, peers)[0]] = c.slow
				s.give(t, 4, peers, 0)
				pushes := 0
				for _, n := range s.began {
					pushes += n
				}
				if hedged := pushes > 4; hedged != c.hedged {
					t.Errorf("%d pushes of 4 fragments", pushes)
				}
			})
		})
	}
}

// TestASlowPeerMakesRoomForTheNext: only one may take part, and it is slow.
func TestASlowPeerMakesRoomForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peers := newStreet(), candidates(6)
		s.pace[peers[0].Peer] = trickle
		result, took := s.give(t, 1, peers, 1)
		if len(result.Placed) != 1 || result.Placed[0].Peer != peers[1].Peer || len(result.Failures) != 0 || took > time.Minute {
			t.Errorf("%+v after %s", result, took)
		}
	})
}

// TestSlowPeersAreBetterThanNobody: where all are slow each gets its share in the end.
func TestSlowPeersAreBetterThanNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peers := newStreet(), candidates(3)
		for _, c := range peers {
			s.pace[c.Peer] = trickle
		}
		result, _ := s.give(t, 6, peers, 0)
		if len(result.Left) != 0 || len(result.Failures) != 0 {
			t.Errorf("left %v, failures %v", result.Left, result.Failures)
		}
	})
}

// TestOneOfTwoThatAreSlowGivesWay: the one tried in a slow one's stead may be slow as well.
func TestOneOfTwoThatAreSlowGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peers := newStreet(), candidates(8)
		for _, c := range peers {
			s.pace[c.Peer] = trickle
		}
		quick := peers[0].Peer
		if first(t, 1, peers)[0] == quick {
			quick = peers[1].Peer
		}
		delete(s.pace, quick)
		result, took := s.give(t, 1, peers, 0)
		if len(result.Left) != 0 || s.pairs > 2 || took > 20*time.Minute {
			t.Errorf("left %v after %s, %d pushes at a time", result.Left, took, s.pairs)
		}
	})
}
