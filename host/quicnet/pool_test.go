package quicnet

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/sdk"
)

// fake makes a connection that has no network under it.
func fake(key byte, instance uint64, dialed bool) *conn {
	c := &conn{instance: instance}
	c.peer.Contact.Key = sdk.NodeKey{key}
	c.peer.Dialed = dialed
	return c
}

// enter reserves a place and adds a connection.
func enter(t interface{ Fatal(...any) }, p *pool, c *conn) (dead, evicted *conn) {
	evicted, err := p.reserve(c.peer.Dialed)
	if err != nil {
		t.Fatal(err)
	}
	return p.add(c), evicted
}

func TestOldestIdleGoesFirst(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 3, 32)
	at := time.Unix(0, 0)
	p.now = func() time.Time { at = at.Add(time.Second); return at }
	a, b, c := fake(1, 0, true), fake(2, 0, true), fake(3, 0, true)
	for _, conn := range []*conn{a, b, c} {
		enter(t, p, conn)
	}
	for _, used := range []*conn{a, c, b, c} { // idle since: a, then b, then c
		if p.acquire(used.peer.Contact.Key) != used {
			t.Fatal("not found")
		}
		p.release(used)
	}
	p.acquire(a.peer.Contact.Key) // the oldest, but in use
	if _, evicted := enter(t, p, fake(4, 0, true)); evicted != b {
		t.Errorf("evicted %v, want the oldest idle one", evicted)
	}
	if p.acquire(b.peer.Contact.Key) != nil {
		t.Error("an evicted connection is handed out")
	}
	p.acquire(c.peer.Contact.Key)
	p.acquire(sdk.NodeKey{4})
	if _, err := p.reserve(true); !errors.Is(err, ErrFull) {
		t.Errorf("all in use: %v", err)
	}
	if s, _ := p.snapshot(); s.Size != 3 || s.Active != 3 || s.Evictions != 1 {
		t.Errorf("%+v", s)
	}
}

func TestReservedPlacesCount(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 2, 32)
	for range 2 {
		if _, err := p.reserve(true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.reserve(true); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	p.unreserve(true)
	if _, err := p.reserve(true); err != nil {
		t.Error(err)
	}
}

// TestTwoConnectionsToOnePeer: both sides choose the same one.
func TestTwoConnectionsToOnePeer(t *testing.T) {
	const us, them = 1, 2
	for _, oursFirst := range []bool{true, false} {
		here, there := newPool(sdk.NodeKey{us}, 9, 32), newPool(sdk.NodeKey{them}, 9, 32)
		byUs, byThem := fake(them, 7, true), fake(them, 7, false)        // as we see them
		fromUs, fromThem := fake(us, 8, false), fake(us, 8, true)        // as they see them
		mine, theirs := []*conn{byUs, byThem}, []*conn{fromThem, fromUs} // each sees its own first
		if !oursFirst {
			mine, theirs = []*conn{byThem, byUs}, []*conn{fromUs, fromThem}
		}
		for i := range 2 {
			enter(t, here, mine[i])
			enter(t, there, theirs[i])
		}
		if here.acquire(sdk.NodeKey{them}) != byUs || there.acquire(sdk.NodeKey{us}) != fromUs {
			t.Error("the sides do not agree on the one that the smaller key dialled")
		}
		if idle := here.idle(time.Time{}); len(idle) != 1 || idle[0] != byThem {
			t.Errorf("the other is not closed once it is idle: %v", idle)
		}
	}
}

func TestRestartedPeer(t *testing.T) {
	p := newPool(sdk.NodeKey{1}, 9, 32)
	old, young := fake(2, 7, true), fake(2, 8, false)
	enter(t, p, old)
	if dead, _ := enter(t, p, young); dead != old {
		t.Error("the connection to the dead process is not given up")
	}
	if p.acquire(sdk.NodeKey{2}) != young {
		t.Error("the new process is not used")
	}
	p.remove(old)
	if p.acquire(sdk.NodeKey{2}) != young {
		t.Error("the end of the old connection took the new one along")
	}
	again := fake(2, 8, false)
	enter(t, p, again)
	if p.acquire(sdk.NodeKey{2}) != again {
		t.Error("of two by one dialler the newer counts: it had lost the older")
	}
}

// TestDeadConnectionGivesWay, also when it would have been preferred alive.
func TestDeadConnectionGivesWay(t *testing.T) {
	p := newPool(sdk.NodeKey{1}, 9, 32)
	old, young := fake(2, 7, true), fake(2, 7, false)
	ended := make(chan struct{})
	old.ended = ended
	enter(t, p, old)
	close(ended)
	if p.acquire(sdk.NodeKey{2}) != nil {
		t.Error("a dead connection is handed out")
	}
	enter(t, p, young)
	if p.acquire(sdk.NodeKey{2}) != young {
		t.Error("the living one is not used")
	}
}

func TestSharedDials(t *testing.T) {
	p := newPool(sdk.NodeKey{1}, 9, 32)
	to := identity.Contact{Key: sdk.NodeKey{2}}
	var ctx context.Context
	begin := func() *dial {
		d := &dial{done: make(chan struct{})}
		ctx, d.cancel = context.WithCancel(t.Context())
		return d
	}
	d, begun := p.join(to, begin)
	again, second := p.join(to, begin)
	if !begun || second || d != again {
		t.Fatal("two dials to one contact")
	}
	p.leave(to, d)
	if ctx.Err() != nil {
		t.Error("stopped although one still waits")
	}
	p.leave(to, d)
	if ctx.Err() == nil {
		t.Error("goes on although nobody waits")
	}
	if _, begun := p.join(to, begin); !begun {
		t.Error("joined a dial that was given up")
	}
	p.finish(to, d, Peer{}, ErrClosed) // the old one ends, the new one goes on
	if _, begun := p.join(to, begin); begun {
		t.Error("the end of a given-up dial took its successor along")
	}
}

// TestPoolAgainstModel: whatever happens, the pool never has more than its limit, never evicts what is
// in use, and hands out only what it has.
func TestPoolAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		p := newPool(sdk.NodeKey{100}, limit, 32)
		uses := map[*conn]int{}
		inside := map[*conn]bool{}
		leave := func(c *conn) {
			if uses[c] > 0 {
				t.Fatalf("a connection in use was evicted")
			}
			delete(inside, c)
		}
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			key := byte(rapid.IntRange(1, 6).Draw(t, "key"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				dialed := rapid.Bool().Draw(t, "dialed")
				evicted, err := p.reserve(dialed)
				if evicted != nil {
					leave(evicted)
				}
				if err != nil {
					continue
				}
				c := fake(key, uint64(rapid.IntRange(1, 2).Draw(t, "instance")), dialed)
				dead := p.add(c)
				inside[c] = true
				if dead != nil { // its process is gone: whoever uses it learns so
					p.remove(dead)
					delete(inside, dead)
				}
			case 1:
				if c := p.acquire(sdk.NodeKey{key}); c != nil {
					if !inside[c] {
						t.Fatal("handed out a connection that is gone")
					}
					uses[c]++
				}
			case 2:
				for c := range uses {
					if uses[c] > 0 {
						p.release(c)
						uses[c]--
						break
					}
				}
			case 3:
				for _, c := range p.idle(time.Now()) {
					leave(c)
				}
			case 4:
				for c := range inside {
					p.remove(c)
					delete(inside, c)
					break
				}
			}
			if s, _ := p.snapshot(); s.Size != len(inside) || s.Size > limit {
				t.Fatalf("%d inside, %d counted, limit %d", len(inside), s.Size, limit)
			}
		}
	})
}

func TestServingIsShared(t *testing.T) {
	p := newPool(sdk.NodeKey{100}, 9, 32)
	a, b := fake(1, 0, true), fake(2, 0, true)
	for i, want := range []struct {
		from *conn
		ok   bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}} { // two in all, and one for everybody
		if got := p.begin(want.from, 2); got != want.ok {
			t.Errorf("request %d: %v", i, got)
		}
	}
	p.end(a)
	p.end(a)
	if !p.begin(b, 2) || a.active != 0 || b.active != 2 {
		t.Error("what ended still counts")
	}
}

func TestWindows(t *testing.T) {
	w := newWindows(100)
	if !w.allow(nil, 60) || w.allow(nil, 50) || !w.allow(nil, 40) {
		t.Error("the budget is not kept")
	}
	w.forget(nil)
	if !w.allow(nil, 100) {
		t.Error("a connection that ended keeps its share")
	}
}

func TestPulse(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	const patience = 4 * time.Second
	var gone, thinking, lively pulse
	for s := range 60 {
		if dead := gone.dead(10, uint64(10+s), at(s), patience); dead != (s >= 6) {
			t.Errorf("probes unanswered for %d s: dead = %v", s-2, dead)
		}
		if thinking.dead(10, 12+uint64(min(s, 1)), at(s), patience) {
			t.Errorf("after %d s of thinking: dead", s)
		}
		if lively.dead(uint64(s), uint64(100*s), at(s), patience) {
			t.Error("heard of all the time, but dead")
		}
	}
	for s := 60; s < 70; s++ { // then it goes
		if dead := thinking.dead(10, uint64(13+s-59), at(s), patience); dead != (s >= 64) {
			t.Errorf("at %d s: dead = %v", s, dead)
		}
	}
}
