package dht_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/dht"
	"github.com/tesseras/tesseras/sdk"
)

// TestWhoWasMetIsSavedAtTheEnd, however short the run was.
func TestWhoWasMetIsSavedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, houses := settle(t, 5, dht.Config{})
		memory := &drawer{}
		a := w.build(t, dht.Config{Memory: memory})
		if err := a.Bootstrap(t.Context(), []string{houses[0].self.Addr.String()}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Run(ctx); err != nil || len(memory.peers) != 5 {
			t.Errorf("%v, %d saved", err, len(memory.peers))
		}
	})
}

// TestOneWhoIsAloneTriesAgainSoon, in virtual time: nodes that start together find each other although
// the first of them found nobody.
func TestOneWhoIsAloneTriesAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, houses := settle(t, 2, dht.Config{})
		w.raze(houses[0])
		memory := &drawer{peers: houses[1].Peers()}
		a := w.build(t, dht.Config{Memory: memory})
		if err := a.Bootstrap(t.Context(), nil); !errors.Is(err, dht.ErrNoBootstrap) {
			t.Fatalf("got %v", err)
		}
		w.mu.Lock()
		w.nodes[houses[0].self.Key], w.byAt[houses[0].self.Addr] = houses[0], houses[0]
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := a.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if k, _ := a.Peer(houses[0].self.Key); k.LastSeen.Before(time.Now().Add(-10 * time.Second)) {
			t.Errorf("still alone after ten seconds: %+v", k)
		}
	})
}

// TestRunNeedNotWaitForBootstrap, in virtual time: a node that is started anew tells within seconds what it
// holds, also when it looks after itself before it has found anybody, as the daemon does.
func TestRunNeedNotWaitForBootstrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, houses := settle(t, 5, dht.Config{})
		a := w.build(t, dht.Config{Holdings: func(context.Context) ([]sdk.TesseraID, error) {
			return []sdk.TesseraID{tessera(1)}, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait() // Run waits for its first step
		if err := a.Bootstrap(ctx, []string{houses[0].self.Addr.String()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if found, _ := houses[3].FindHolders(ctx, tessera(1)); len(found) != 1 {
			t.Errorf("five seconds after the start %d holders are found", len(found))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestJoined, in virtual time: who has somebody to join has joined once it has looked around, and who has nobody
// has joined at once. Many peers that come by are enough, although the way in leads nowhere.
func TestJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, houses := settle(t, 25, dht.Config{})
		takes := func(addresses []string, meanwhile func(*house)) time.Duration {
			a := w.build(t, dht.Config{})
			go meanwhile(a)
			go func() { _ = a.Bootstrap(t.Context(), addresses) }()
			begun := time.Now()
			a.Joined(t.Context())
			return time.Since(begun)
		}
		nothing := func(*house) {}
		visited := func(from []*house) func(*house) {
			return func(a *house) {
				for _, h := range from {
					a.Observe(h.peer())
				}
			}
		}
		someone, nobody := []string{houses[0].self.Addr.String()}, []string{"11.255.0.1:4433"}
		for name, c := range map[string]struct {
			took time.Duration
			want bool // to wait
		}{
			"somebody":           {takes(someone, nothing), false},
			"nowhere to go":      {takes(nil, nothing), false},
			"nobody there":       {takes(nobody, nothing), true},
			"a few that come by": {takes(nobody, visited(houses[:5])), true},
			"many that come by":  {takes(nobody, visited(houses)), false},
		} {
			if waits := c.took > 0; waits != c.want {
				t.Errorf("%s: it waits for %s", name, c.took)
			}
		}
		a := w.build(t, dht.Config{})
		if err := a.Bootstrap(t.Context(), someone); err != nil {
			t.Fatal(err)
		}
		if a.Joined(t.Context()); len(a.Peers()) < 25 {
			t.Errorf("one that has joined knows %d", len(a.Peers()))
		}
	})
}
