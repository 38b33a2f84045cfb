package cycle_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/cycle"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestRoundRunsEveryStepInOrder(t *testing.T) {
	var ran []string
	broken := errors.New("broken")
	step := func(name string, err error) cycle.Step {
		return cycle.Step{Name: name, Run: func(context.Context) error {
			ran = append(ran, name)
			return err
		}}
	}
	c := cycle.New(cycle.Config{}, quiet, step("a", nil), step("b", broken), step("c", nil))
	if err := c.Round(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Round = %v, want the failure of b", err)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
}

func TestRunKeepsItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rounds atomic.Int32
		c := cycle.New(cycle.Config{Interval: 24 * time.Hour, Jitter: 2 * time.Hour}, quiet,
			cycle.Step{Name: "count", Run: func(context.Context) error { rounds.Add(1); return nil }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()

		time.Sleep(10 * 24 * time.Hour)
		synctest.Wait()
		if n := rounds.Load(); n < 9 || n > 11 {
			t.Errorf("%d rounds in ten days, want about ten", n)
		}
		before := rounds.Load()
		c.Wake()
		synctest.Wait()
		if rounds.Load() != before+1 {
			t.Error("Wake did not start a round")
		}
		cancel()
		<-done
	})
}

func TestRunStopsInTheMiddleOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{})
		c := cycle.New(cycle.Config{Interval: time.Hour, First: time.Second}, quiet,
			cycle.Step{Name: "long", Run: func(ctx context.Context) error {
				close(entered)
				<-ctx.Done()
				return ctx.Err()
			}},
			cycle.Step{Name: "never", Run: func(context.Context) error {
				t.Error("a step ran after the stop")
				return nil
			}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		<-entered
		cancel()
		<-done
	})
}

// TestWaitingForARoundEndsWithTheContext: a round that takes long keeps nobody who is told to stop.
func TestWaitingForARoundEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		c := cycle.New(cycle.Config{}, quiet, cycle.Step{Name: "long", Run: func(context.Context) error {
			rounds++
			time.Sleep(time.Hour)
			return nil
		}})
		go func() { _ = c.Round(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Round(ctx); !errors.Is(err, context.DeadlineExceeded) || rounds != 1 {
			t.Errorf("%d rounds, %v", rounds, err)
		}
		if err := c.Round(t.Context()); err != nil || rounds != 2 {
			t.Errorf("after the long one: %d rounds, %v", rounds, err)
		}
	})
}
