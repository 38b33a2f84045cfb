package repair_test

import (
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/repair"
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
