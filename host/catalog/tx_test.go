package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestUpdateIsAllOrNothing(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		stop := errors.New("stop")
		wantError(t, c.Update(func(tx *Tx) error {
			must(t, tx.PutMeta("a", []byte("1")))
			return stop
		}), stop)
		view(t, c, func(tx *Tx) error {
			_, err := tx.Meta("a")
			wantError(t, err, ErrNotFound)
			return nil
		})
	})
}

func TestViewIsASnapshot(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		update(t, c, func(tx *Tx) error { return tx.PutMeta("a", []byte("old")) })
		view(t, c, func(tx *Tx) error {
			update(t, c, func(tx *Tx) error { return tx.PutMeta("a", []byte("new")) })
			got, err := tx.Meta("a")
			must(t, err)
			if string(got) != "old" {
				t.Errorf("a snapshot shows %q, written after it began", got)
			}
			return nil
		})
	})
}

func TestViewCannotWrite(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		wantError(t, c.View(func(tx *Tx) error { return tx.PutMeta("a", nil) }), ErrReadOnly)
	})
}

func TestTransactionTooBig(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		fill := func(rows, size int) error {
			return c.Update(func(tx *Tx) error {
				for i := range rows {
					if err := tx.PutMeta(fmt.Sprint(i), make([]byte, size)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		wantError(t, fill(maxTxRows+1, 1), ErrTooBig)
		wantError(t, fill(3, maxTxBytes/2), ErrTooBig)
		must(t, fill(maxTxRows, 1))
		must(t, fill(1, maxTxBytes-64))
	})
}

func TestUpdateEachSplitsWhatIsTooBig(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const n = 100
		items := make([]int, n)
		for i := range items {
			items[i] = i
		}
		must(t, UpdateEach(c, items, func(tx *Tx, i int) error {
			return tx.PutMeta(fmt.Sprintf("x%03d", i), bytes.Repeat([]byte{byte(i)}, 30<<10))
		}))
		view(t, c, func(tx *Tx) error {
			for i := range n {
				v, err := tx.Meta(fmt.Sprintf("x%03d", i))
				must(t, err)
				if len(v) != 30<<10 || v[0] != byte(i) {
					t.Fatalf("item %d came out wrong", i)
				}
			}
			return nil
		})
		wantError(t, UpdateEach(c, []int{1}, func(tx *Tx, _ int) error {
			return tx.PutMeta("y", make([]byte, 2<<20))
		}), ErrTooBig)
	})
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const workers, rounds = 8, 25
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range rounds {
					if err := c.Update(func(tx *Tx) error {
						_, err := tx.AddLedger(owner(1), 1, 0)
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, c, func(tx *Tx) error {
			l, err := tx.Ledger(owner(1))
			must(t, err)
			if l.StoredForThem != workers*rounds {
				t.Errorf("%d of %d additions arrived", l.StoredForThem, workers*rounds)
			}
			return nil
		})
	})
}

func TestClosed(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		must(t, c.Close())
		wantError(t, c.View(func(*Tx) error { return nil }), ErrClosed)
		wantError(t, c.Update(func(*Tx) error { return nil }), ErrClosed)
		wantError(t, c.Close(), ErrClosed)
	})
}

// TestTransactionsMatchModel compares random transactions, reading and scanning what they wrote
// themselves and what was there before, with a plain map.
func TestTransactionsMatchModel(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		round := 0
		rapid.Check(t, func(rt *rapid.T) {
			round++
			prefix := fmt.Sprintf("xtest%06d/", round)
			committed := map[string]string{}
			for range rapid.IntRange(1, 5).Draw(rt, "transactions") {
				model := maps.Clone(committed)
				stop := errors.New("stop")
				keep := rapid.Bool().Draw(rt, "keep")
				err := c.Update(func(tx *Tx) error {
					for range rapid.IntRange(0, 40).Draw(rt, "steps") {
						step(rt, tx, prefix, model)
					}
					if !keep {
						return stop
					}
					return nil
				})
				if keep && err != nil || !keep && !errors.Is(err, stop) {
					rt.Fatal(err)
				}
				if keep {
					committed = model
				}
			}
			must(t, c.View(func(tx *Tx) error { return sameAsModel(rt, tx, prefix, "", committed) }))
		})
	})
}

func step(rt *rapid.T, tx *Tx, prefix string, model map[string]string) {
	key := rapid.StringMatching(`[ab]{1,5}`).Draw(rt, "key")
	full := []byte(prefix + key)
	switch rapid.IntRange(0, 3).Draw(rt, "what") {
	case 0, 1:
		value := rapid.StringMatching(`[0-9]{0,3}`).Draw(rt, "value")
		if err := tx.set(full, []byte(value)); err != nil {
			rt.Fatal(err)
		}
		model[key] = value
	case 2:
		if err := tx.del(full); err != nil {
			rt.Fatal(err)
		}
		delete(model, key)
	case 3:
		if err := sameAsModel(rt, tx, prefix, key, model); err != nil {
			rt.Fatal(err)
		}
	}
	got, err := tx.get(full)
	want, ok := model[key]
	if ok != (err == nil) || string(got) != want {
		rt.Fatalf("get %s: %q, %v; want %q, %v", key, got, err, want, ok)
	}
}

// sameAsModel scans from a key on.
func sameAsModel(rt *rapid.T, tx *Tx, prefix, from string, model map[string]string) error {
	var got, want []string
	for r, err := range tx.scan([]byte(prefix), []byte(prefix+from)) {
		if err != nil {
			return err
		}
		got = append(got, strings.TrimPrefix(string(r.key), prefix)+"="+string(r.value))
	}
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if k >= from {
			want = append(want, k+"="+model[k])
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("scan from %q: %q, want %q", from, got, want)
	}
	return nil
}

// TestScanAcrossPages reads more rows than a page holds while half of them go.
func TestScanAcrossPages(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const n = 3*maxPage + 7
		update(t, c, func(tx *Tx) error {
			for i := range n {
				must(t, tx.set([]byte(fmt.Sprintf("x%05d", i)), nil))
			}
			return nil
		})
		update(t, c, func(tx *Tx) error {
			i := 0
			for r, err := range tx.scan([]byte("x"), nil) {
				must(t, err)
				if want := fmt.Sprintf("x%05d", i); string(r.key) != want {
					t.Fatalf("row %s where %s was next", r.key, want)
				}
				if i%2 == 0 {
					must(t, tx.del(r.key))
				}
				i++
			}
			if i != n {
				t.Fatalf("%d of %d rows", i, n)
			}
			rest, err := all(tx.scan([]byte("x"), nil))
			must(t, err)
			if len(rest) != n/2 {
				t.Fatalf("%d rows left, want %d", len(rest), n/2)
			}
			return nil
		})
	})
}
