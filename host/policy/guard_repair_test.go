package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/sdk"
)

func TestRepairGuardsRaise(t *testing.T) {
	raises := func(name string, to uint32, positions ...uint32) Policy {
		a := &sdk.RepairResponse{Status: sdk.Status_OK}
		for _, p := range positions {
			a.Orders = append(a.Orders, &sdk.RepairOrder{Tessera: p, Priority: to, Reason: "ours first"})
		}
		return says(name, a)
	}
	e, _, ring := engine(t, Config{Repair: Chain{Guards: guards(raises("b", 5000, 2), raises("a", 4000, 2, 3), raises("c", 5000, 2), raises("low", 1, 0))}})
	request := &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 3, 1), health(1, 4, 1), health(2, 5, 1), health(3, 6, 0)}}
	request.Tesseras[1].LeastPriority = 9999 // not a caller's to say
	plan, err := e.Repair(t.Context(), request)
	if err != nil || !slices.Equal(tesseraNumbers(plan), []int{2, 0, 1}) {
		t.Fatalf("%+v, %v", plan, err)
	}
	if o := plan.Orders[0]; o.Priority != 5000 || !strings.HasPrefix(o.Reason, "raised by b: ours first; c: ours first; ") {
		t.Errorf("%+v", o)
	}
	if o := plan.Orders[1]; o.Priority < 100 || strings.Contains(o.Reason, "raised") {
		t.Errorf("lowered: %+v", o)
	}
	var seen sdk.RepairRequest
	if err := seen.UnmarshalVT(ring.List()[0].Request); err != nil || seen.Tesseras[2].LeastPriority != 5000 || seen.Tesseras[1].LeastPriority != 0 {
		t.Errorf("the decider saw %v, %v", seen.Tesseras, err)
	}
	if request.Tesseras[1].LeastPriority != 9999 || request.Tesseras[2].LeastPriority != 0 {
		t.Error("the caller's request was changed")
	}
}
