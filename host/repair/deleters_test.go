package repair_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	speaker "github.com/tesseras/tesseras/host/peer"
	"github.com/tesseras/tesseras/host/proof"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// fragmentKey is one fragment of one tessera.
type fragmentKey struct {
	tessera sdk.TesseraID
	index   int
}

// TestDeletersAreCaught is the deleters' part of G17, in the time of the model: a holder of 102 fragments
// deletes a share of them and keeps its index. Eight are drawn a day. Nobody honest is ever down as
// failed.
func TestDeletersAreCaught(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(suite.Seed(t), 17))
	asked := 0
	for _, c := range []struct {
		lost, of100, days, trials int
	}{{51, 50, 1, 40}, {10, 10, 6, 40}, {1, 1, 60, 40}} {
		for round := 0; round == 0 || asked < sizeDeleters.Cases() && c.lost == 1; round++ {
			late := 0
			for range c.trials {
				w := newWard(t)
				w.takes = false
				var all []fragmentKey
				for i := range byte(17) {
					s := w.creates(t, i)
					w.keeps(t, 1, s, 0, 1, 2, 3, 4, 5)
					w.keeps(t, 2, s, 0, 1)
					for index := range 6 {
						all = append(all, fragmentKey{s.plan.Tessera, index})
					}
				}
				random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				lost := map[fragmentKey]bool{}
				for _, k := range all[:c.lost] {
					lost[k] = true
				}
				deleter := w.peers[contact(1).Key]
				deleter.proves = func(claim proof.Claim) (speaker.Proof, error) {
					if lost[fragmentKey{claim.Tessera, claim.Index}] {
						return speaker.Proof{}, wire.Refuse(wire.Code_DAMAGED, "gone")
					}
					return speaker.Proof{}, nil
				}
				day := 0
				for caught := false; !caught && day < c.days; day++ {
					w.clock = w.clock.Add(24 * time.Hour)
					if _, err := w.Run(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					caught = !w.audit(t, 1).Failed.IsZero()
				}
				if w.audit(t, 1).Failed.IsZero() {
					late++
				}
				if a := w.audit(t, 2); !a.Failed.IsZero() || a.Proven == 0 {
					t.Fatalf("an honest holder is down as %+v", a)
				}
				for n := range byte(2) {
					asked += int(w.audit(t, n+1).Asked)
				}
			}
			t.Logf("a holder without %d %% of its fragments is caught within %d days in all but %d of %d trials", c.of100, c.days, late, c.trials)
			if late > c.trials/10 { // one in a hundred is expected
				t.Errorf("%d of %d deleters of %d %% are not caught in %d days", late, c.trials, c.of100, c.days)
			}
		}
	}
	sizeDeleters.Executed(t, asked, "challenges")
}
