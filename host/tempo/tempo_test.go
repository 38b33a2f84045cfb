package tempo_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/tempo"
)

// size is of a large shard.
const size = 16 << 20

// moves lets a transfer run at so many bytes a second until it is done or the test ends.
func moves(t *testing.T, f *tempo.Field, perSecond int) *tempo.Transfer {
	tr := f.Begin()
	go func() {
		for left := size; left > 0; left -= perSecond / 10 {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
				tr.Moved(perSecond / 10)
			}
		}
		tr.End(true)
	}()
	return tr
}

// after waits until so long after what was begun last, and a moment.
func after(d time.Duration) {
	time.Sleep(d + time.Millisecond)
	synctest.Wait()
}

func TestOneThatTricklesIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		slow := moves(t, f, 5<<10)
		for range 3 {
			moves(t, f, 1<<20)
		}
		if after(4 * time.Second); slow.Late() {
			t.Error("late before anything is known")
		}
		if after(time.Second); !slow.Late() {
			t.Errorf("not late, with %s left", slow.Left())
		}
	})
}

func TestOneThatIsNotMuchSlowerIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		slow := moves(t, f, 400<<10) // 41 s; the others take 16 s
		for range 3 {
			moves(t, f, 1<<20)
		}
		for range 42 {
			if after(time.Second); slow.Late() {
				t.Fatalf("late with %s left", slow.Left())
			}
		}
	})
}

func TestOneThatCeasesToMoveWellIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		moves(t, f, 4<<20)
		slow := f.Begin()
		slow.Moved(size - 1<<20) // all but a sixteenth at once
		begun := time.Now()
		for !slow.Late() {
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("not late, with %s left", slow.Left())
			}
			time.Sleep(time.Second)
			slow.Moved(5 << 10)
		}
	})
}

func TestAnAnswerThatDoesNotComeIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		for range 2 {
			tr := f.Begin()
			tr.Moved(size)
			time.Sleep(time.Second)
			tr.End(true)
		}
		mute := f.Begin()
		mute.Moved(size)
		if after(4 * time.Second); mute.Late() {
			t.Error("late before it had the time for an answer")
		}
		if after(2 * time.Second); !mute.Late() {
			t.Error("not late")
		}
	})
}

// TestWhereAllAreSlowGuessesAreFew: with nothing to compare with some are called late, fewer and fewer,
// since the fault may be here.
func TestWhereAllAreSlowGuessesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		var all []*tempo.Transfer
		for range 4 {
			all = append(all, moves(t, f, 20<<10))
		}
		for _, c := range []struct {
			wait time.Duration
			late int
		}{{4 * time.Second, 0}, {time.Second, 1}, {5 * time.Second, 2}, {5 * time.Second, 2}, {5 * time.Second, 3}} {
			after(c.wait)
			if n := late(all); n != c.late {
				t.Errorf("%d are late, want %d", n, c.late)
			}
		}
	})
}

// TestOneThatIsNotSlowIsNoGuess: alone, and well above the floor.
func TestOneThatIsNotSlowIsNoGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := moves(t, tempo.NewField(size), 128<<10)
		for range 100 {
			if after(time.Second); alone.Late() {
				t.Fatalf("late with %s left", alone.Left())
			}
		}
	})
}

func TestASlowLineIsUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := tempo.NewField(size)
		f.Begin().End(false) // it failed, and shows nothing
		moves(t, f, 60<<10)
		after((size/(60<<10) + 1) * time.Second)
		next := moves(t, f, 50<<10)
		for range 60 {
			if after(time.Second); next.Late() {
				t.Fatalf("late with %s left, where one took %d s", next.Left(), size/(60<<10))
			}
		}
	})
}

func TestNothingIsSaidOfAnUnknownSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := tempo.NewField(0).Begin()
		if after(time.Hour); tr.Late() || tr.Silence() < time.Hour {
			t.Errorf("late after %s of silence", tr.Silence())
		}
	})
}

func late(all []*tempo.Transfer) (n int) {
	for _, t := range all {
		if t.Late() {
			n++
		}
	}
	return n
}
