package repair_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/sdk"
)

// TestAHolderPlans: of a tessera of somebody else's that is not at its target the holder whose turn it is plans to
// rebuild what is missing, and the others tell to whom they leave it, and until when.
func TestAHolderPlans(t *testing.T) {
	t.Parallel()
	c := newColony(t, 12)
	c.rounds(3)
	order := c.inOrder()
	planned := func(m *settler) []repair.Planned {
		t.Helper()
		p, err := m.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := planned(order[0]); len(p) != 0 {
		t.Errorf("everything is at its target, and planned is %+v", p)
	}
	order[11].dead = true
	for _, m := range order {
		m.broken = true
	}
	c.rounds(2)
	first := planned(order[0])
	if len(first) != 1 || first[0].Tessera != c.plan.Tessera || first[0].Report.Deficit != 2 || first[0].Rebuild != 2 || first[0].Wait != 0 {
		t.Errorf("it is the turn of the first: %+v", first)
	}
	third := planned(order[2])
	for range 3 { // it does not look in every round
		if len(third) == 0 {
			c.rounds(1)
			third = planned(order[2])
		}
	}
	if len(third) != 1 || third[0].Report.Deficit != 2 || third[0].Rebuild != 0 || third[0].Wait <= 0 || third[0].Wait > 2*colonyInterval ||
		!strings.HasSuffix(third[0].Reason, "left to the 2 holders that come first") {
		t.Errorf("the third: %+v", third)
	}
}

// TestAPersonHasAHolderRepair: a holder that is told to repairs a tessera of somebody else's though it is not its
// turn, and leaves it to one that is at it.
func TestAPersonHasAHolderRepair(t *testing.T) {
	t.Parallel()
	c := newColonyEvery(t, 12, time.Minute)
	c.rounds(3)
	order := c.inOrder()
	last, only := order[10], []sdk.TesseraID{c.plan.Tessera}
	run := func() repair.Summary {
		t.Helper()
		got, err := last.Run(t.Context(), only)
		if err != nil || got.Checked != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		return got
	}
	if got := run(); got.Healthy != 1 || got.Repaired != 0 {
		t.Errorf("at its target: %+v", got)
	}
	order[11].dead = true
	done := order[0].turns.Try(c.plan.Tessera)
	if got := run(); got.Repaired != 0 || len(got.Failed) != 1 || !strings.Contains(got.Failed[0].Err.Error(), "somebody else repairs it") {
		t.Errorf("the first is at it: %+v", got)
	}
	done()
	if got := run(); got.Repaired != 1 || got.Rebuilt != 2 || len(got.Failed) != 0 {
		t.Errorf("nobody is at it: %+v", got)
	}
	if distinct, copies, _ := c.count(); distinct != 24 || copies != 24 {
		t.Errorf("%d shards in %d copies", distinct, copies)
	}
	if got, err := last.Run(t.Context(), nil); err != nil || got.Checked != 0 {
		t.Errorf("unnamed: %+v, %v", got, err)
	}
}
