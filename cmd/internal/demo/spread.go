package demo

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// spread is where the fragments are: node id -> indices, as each node says of itself.
type spread map[string][]int

// look asks every holder that lives what it holds. Nobody is asked about anybody else, so that what is
// counted is there.
func (s *show) look(ctx context.Context) (spread, error) {
	var (
		mu  sync.Mutex // guards out
		out = spread{}
		g   errgroup.Group
	)
	g.SetLimit(3)
	for _, n := range s.alive() {
		g.Go(func() error {
			status, err := n.status(ctx, s.result.ID)
			if isUnknown(err) {
				return nil // it holds nothing
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if own := status.of(n.id); len(own) > 0 {
				out[n.id] = own
			}
			return nil
		})
	}
	return out, g.Wait()
}

// complete tells whether every fragment has a holder; of whole copies, whether there are enough, or one on
// every node there is.
func (s spread) complete(tier string, fragments, nodes int) bool {
	if tier == "small" {
		return len(s) >= min(fragments, nodes)
	}
	distinct := map[int]bool{}
	for _, held := range s {
		for _, i := range held {
			distinct[i] = true
		}
	}
	return len(distinct) == fragments
}

// survives is how many holders may vanish at once, whichever they are, so that data fragments remain. A
// fragment that several have counts for the one with the fewest.
func (s spread) survives(data int) int {
	least := map[int]string{}
	for id, held := range s {
		for _, i := range held {
			if old, ok := least[i]; !ok || len(held) < len(s[old]) {
				least[i] = id
			}
		}
	}
	load := map[string]int{}
	for _, id := range least {
		load[id]++
	}
	if data == 1 { // every copy is enough
		return max(len(s)-1, 0)
	}
	var loads []int
	for _, n := range load {
		loads = append(loads, n)
	}
	slices.Sort(loads)
	lost := 0
	for remaining := len(least); lost < len(loads); lost++ {
		if remaining -= loads[len(loads)-1-lost]; remaining < data {
			break
		}
	}
	return lost
}

// gained counts the fragments that are at a holder now which did not have them before.
func gained(before, now spread) (n int) {
	for id, fragments := range now {
		for _, f := range fragments {
			if !slices.Contains(before[id], f) {
				n++
			}
		}
	}
	return n
}
