package archive

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/sdk"
)

type catalogTx = catalog.Tx

// TestConcurrentCreatesAndDeletes lets workers create and delete tesseras that share files, while
// Recover runs beside them. Whoever has created a tessera can verify it until it is deleted.
func TestConcurrentCreatesAndDeletes(t *testing.T) {
	const workers, rounds = 4, 12
	h := newHouse(t)
	var streams [][]byte
	for i := range 5 {
		b, err := tree{"shared": "by all", fmt.Sprint("a", i%2): fmt.Sprint(i % 2), fmt.Sprint("b", i): fmt.Sprint(i)}.stream("")
		must(t, err)
		streams = append(streams, b)
	}
	var wg sync.WaitGroup
	left := make([][]sdk.TesseraID, workers)
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 2))
			mine := map[sdk.TesseraID]bool{}
			for range rounds {
				made, err := h.Create(ctx, bytes.NewReader(streams[rnd.IntN(len(streams))]))
				if err != nil {
					t.Error(err)
					return
				}
				mine[made.ID] = true
				for id := range mine {
					if err := h.Verify(ctx, id, Watch{}); err != nil {
						t.Error(err)
					}
					if rnd.IntN(3) == 0 {
						if err := h.Delete(ctx, id); err != nil {
							t.Error(err)
						}
						delete(mine, id)
					}
				}
			}
			for id := range mine {
				left[w] = append(left[w], id)
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			if err := h.Recover(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	var all []sdk.TesseraID
	for _, ids := range left {
		all = append(all, ids...)
	}
	audit(t, h, all...)
}

// TestOneOfManyDeletes: of several deletions of one tessera at a time one succeeds, the others say why
// not.
func TestOneOfManyDeletes(t *testing.T) {
	h := newHouse(t)
	made := create(t, h, holiday(), "")
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = h.Delete(ctx, made.ID) })
	}
	wg.Wait()
	ok := 0
	for _, err := range errs {
		if err == nil {
			ok++
		} else if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	if ok != 1 {
		t.Errorf("%d deletions succeeded", ok)
	}
	audit(t, h)
}
