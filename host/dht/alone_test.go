package dht_test

import (
	"context"
	"errors"
	"slices"
	"sync"
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

// TestJoined, in virtual time: who has somebody to join has joined once it has looked around, also beside addresses
// at which nobody is, and who has nobody has joined at once. Many peers that come by are enough, although the way
// in leads nowhere.
func TestJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, houses := settle(t, 25, dht.Config{})
		w.vain = 3 * time.Second
		someone, nobody := houses[0].self.Addr.String(), "11.255.0.1:4433"
		for name, c := range map[string]struct {
			bootstrap []string
			visitors  int
			waits     bool
		}{
			"somebody":                      {[]string{someone}, 0, false},
			"somebody and one that is gone": {[]string{nobody, someone}, 0, false},
			"nowhere to go":                 {nil, 0, false},
			"nobody there":                  {[]string{nobody}, 0, true},
			"a few come by":                 {[]string{nobody}, 5, false},
			"many come by":                  {[]string{nobody}, 25, false},
		} {
			a := w.build(t, dht.Config{})
			var starting sync.WaitGroup
			starting.Go(func() { _ = a.Bootstrap(t.Context(), c.bootstrap) })
			starting.Go(func() {
				for _, h := range houses[:c.visitors] {
					a.Observe(h.peer())
				}
			})
			begun := time.Now()
			a.Joined(t.Context())
			if took := time.Since(begun); c.waits != (took > time.Second) || took > 10*time.Second {
				t.Errorf("%s: it waits for %s", name, took)
			}
			if known := len(a.Peers()); slices.Contains(c.bootstrap, someone) && known < 20 {
				t.Errorf("%s: one that has joined knows %d", name, known)
			}
			starting.Wait()
		}
	})
}
