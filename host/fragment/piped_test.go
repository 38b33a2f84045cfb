package fragment_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tesseras/tesseras/host/fragment"
)

// TestPiped: what is written is read, a failure reaches the reader, and Close waits for the writer to end.
func TestPiped(t *testing.T) {
	r := fragment.Piped(func(w io.Writer) error {
		_, err := io.WriteString(w, "words")
		return err
	})
	if b, err := io.ReadAll(r); string(b) != "words" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(fragment.Piped(func(io.Writer) error { return broken })); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		over := false
		r := fragment.Piped(func(w io.Writer) error {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, "and on and on")
			}
			time.Sleep(time.Minute) // its files take their time to close
			over = true
			return nil
		})
		if _, err := r.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil || !over {
			t.Errorf("closed while it writes: over %v, %v", over, err)
		}
	})
}
