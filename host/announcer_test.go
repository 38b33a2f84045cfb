package host

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// TestATesseraIsAnnouncedOnce has many fragments of a tessera come: it is announced after the first, and again
// only where that failed.
func TestATesseraIsAnnouncedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := sdk.TesseraID{1}, sdk.TesseraID{2}
		asked := map[sdk.TesseraID]int{}
		var fails error
		a := &announcer{
			announce: func(_ context.Context, tesseras []sdk.TesseraID) (int, error) {
				for _, id := range tesseras {
					asked[id]++
				}
				return len(tesseras), fails
			},
			log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), waiting: map[sdk.TesseraID]bool{},
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go a.run(ctx)
		arrives := func(id sdk.TesseraID, first bool, want int) {
			t.Helper()
			a.add(id, first)
			time.Sleep(2 * announceAfter)
			synctest.Wait()
			if asked[id] != want {
				t.Errorf("it was announced %d times, want %d", asked[id], want)
			}
		}
		arrives(one, true, 1)
		arrives(one, false, 1)
		arrives(one, false, 1)
		fails = errors.New("nobody is there")
		arrives(other, true, 1)
		fails = nil
		arrives(other, false, 2)
		arrives(other, false, 2)
		arrives(one, false, 1)
	})
}
