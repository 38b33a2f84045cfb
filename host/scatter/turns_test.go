package scatter_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/scatter"
	"github.com/tesseras/tesseras/sdk"
)

func TestOneTurnAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := scatter.NewTurns()
		a, b := sdk.TesseraID{1}, sdk.TesseraID{2}
		done := turns.Try(a)
		if done == nil || turns.Try(a) != nil {
			t.Fatal("want the first to have the turn and the second not")
		}
		if other := turns.Try(b); other == nil {
			t.Error("another tessera waits too")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.Take(short, a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take = %v", err)
		}
		took := make(chan struct{})
		go func() {
			again, err := turns.Take(t.Context(), a)
			if err == nil {
				again()
			}
			close(took)
		}()
		synctest.Wait()
		done()
		<-took
	})
}
