package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// TestSweepNeverRemovesWhatIsNeeded lets several tesseras come and go over a few contents that they
// share, while orphans of no age at all are swept without a pause (G5). Each worker knows what its own
// tessera needs: that can be read, byte for byte, at any moment.
func TestSweepNeverRemovesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.clock.pass(time.Hour) // by which everything is old
	const workers, contents = 4, 24
	seed, total := suite.Seed(t), suite.ModelSweep.Cases()
	var done atomic.Int64
	var swept Report
	stop := make(chan struct{})
	var sweeping, working sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := r.Run(t.Context(), Options{Grace: 0})
			if err != nil {
				t.Error(err)
				return
			}
			swept.Orphans += got.Orphans
			if got.Missing > 0 {
				t.Errorf("%d needed objects have no file", got.Missing)
			}
			time.Sleep(10 * time.Millisecond) // workers shall have the locks now and then
		}
	})
	for i := range workers {
		working.Go(func() {
			w := worker{room: r, t: t, rng: rand.New(rand.NewPCG(seed, uint64(i))), id: sdk.TesseraID{byte(i + 1)}, needs: map[string]bool{}}
			for done.Add(1) <= int64(total) && !t.Failed() {
				w.step(fmt.Sprint("content ", w.rng.IntN(contents)))
			}
		})
	}
	working.Wait()
	close(stop)
	sweeping.Wait()
	t.Logf("%d orphans swept", swept.Orphans)
	suite.ModelSweep.Executed(t, int(done.Load()-workers), "operations beside sweeps")
	if done.Load() < int64(total) || swept.Orphans == 0 {
		t.Error("too little happened to show anything")
	}
}

type worker struct {
	*room
	t     *testing.T
	rng   *rand.Rand
	id    sdk.TesseraID
	needs map[string]bool
}

func (w *worker) step(content string) {
	var err error
	switch n := w.rng.IntN(10); {
	case n < 1:
		err = w.stage(content, w.rng.IntN(3) > 0)
	case n < 2:
		err = w.release(content)
	default:
		err = w.read(content)
	}
	if err != nil {
		w.t.Errorf("%s of %s: %v", content, w.id.Short(), err)
	}
}

// stage puts a content and, unless it is given up, records the need for it.
func (w *worker) stage(content string, record bool) error {
	h := digest.Of([]byte(content))
	o, err := w.Objects.Stage(w.t.Context(), bytes.NewReader([]byte(content)), &h)
	if err != nil {
		return err
	}
	defer w.Objects.Unpin(h)
	if !record {
		return nil
	}
	w.needs[content] = true
	return w.Catalog.Update(func(tx *catalog.Tx) error {
		return tx.AddBlobRef(catalog.BlobRef{Tessera: w.id, Memory: h, Name: content, Hash: h, Size: o.Size})
	})
}

// release takes the need back; the file goes with the last one.
func (w *worker) release(content string) error {
	if !w.needs[content] {
		return nil
	}
	var gone []digest.Hash
	err := w.Catalog.Update(func(tx *catalog.Tx) (err error) {
		gone, _, err = tx.DropBlobRefs(w.id, 1)
		return err
	})
	if err != nil {
		return err
	}
	clear(w.needs)
	err = w.Catalog.View(func(tx *catalog.Tx) error {
		for b, err := range tx.BlobRefs(w.id) {
			if err != nil {
				return err
			}
			w.needs[b.Name] = true
		}
		return nil
	})
	if len(gone) == 0 || err != nil {
		return err
	}
	_, err = w.Catalog.Collect(w.t.Context(), w.Objects)
	return err
}

// read reads a content that this worker needs.
func (w *worker) read(content string) error {
	if !w.needs[content] {
		return nil
	}
	r, err := w.Objects.Open(digest.Of([]byte(content)), int64(len(content)))
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err == nil && string(got) != content {
		err = errors.New("other bytes")
	}
	return errors.Join(err, r.Close())
}
