package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// tesseraNumbers resolves orders to the numbers of this file's tesseras.
func tesseraNumbers(plan *RepairPlan) (out []int) {
	for _, o := range plan.Orders {
		for n := range 10 {
			if o.Tessera == sdk.TesseraID(id("tessera", n)) {
				out = append(out, n)
			}
		}
	}
	return out
}

// TestCriticalRepairsAreNotPutOff: whatever a policy leaves out, puts off or puts last.
func TestCriticalRepairsAreNotPutOff(t *testing.T) {
	lazy := &sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{
		{Tessera: 3, Priority: 900, Reason: "I like it"},
		{Tessera: 0, Priority: 1, WaitMs: 60_000, Reason: "tomorrow"},
	}}
	hopeless := health(3, 3, 9)
	hopeless.Recoverable = false
	// Asked about thinnest first: 0, 1, then 5, which lacks nothing, 3, 2 and 4.
	request := &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 0, 1), health(1, 1, 2), health(2, 8, 1), hopeless, health(4, 9, 1), health(5, 2, 0)}}
	for name, p := range map[string]Policy{
		"lazy":    says("lazy", lazy),
		"deferer": says("lazy", &sdk.RepairResponse{Status: sdk.Status_DEFER, Reason: "only at night"}),
	} {
		e, _, _ := engine(t, Config{}, p)
		plan, err := e.Repair(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		byHost := 0
		for _, o := range plan.Orders {
			if o.ByHost {
				byHost++
				if !o.Critical || o.Wait != 0 || o.Reason == "" {
					t.Errorf("%s: %+v", name, o)
				}
			}
		}
		if critical := tesseraNumbers(plan)[:2]; byHost != 2 || !slices.Contains(critical, 0) || !slices.Contains(critical, 1) {
			t.Errorf("%s: order %v, %d by the host", name, tesseraNumbers(plan), byHost)
		}
		if plan.Deferred != (name == "deferer") || len(plan.Sources) != 1 || plan.Sources[0].Policy != "lazy" {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}

func TestLyingRepairs(t *testing.T) {
	request := &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 5, 1), health(1, 5, 1)}}
	for name, tt := range map[string]struct {
		answer *sdk.RepairResponse
		rule   Rule
	}{
		"an order for nothing":    {&sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 2}}}, RuleUnknownTessera},
		"an order twice":          {&sdk.RepairResponse{Status: sdk.Status_OK, Orders: []*sdk.RepairOrder{{Tessera: 1}, {Tessera: 1}}}, RuleDuplicate},
		"a note about nothing":    {&sdk.RepairResponse{Status: sdk.Status_OK, Notes: []*sdk.RepairNote{{Tessera: 1 << 31}}}, RuleUnknownTessera},
		"a defer without a cause": {&sdk.RepairResponse{Status: sdk.Status_DEFER}, RuleNoReason},
	} {
		e, counters, ring := engine(t, Config{}, says("liar", tt.answer))
		plan, err := e.Repair(t.Context(), request)
		if err != nil || len(plan.Orders) != 2 || plan.Sources[0].Policy != "default" || counted(counters, "liar", "test", Invalid) != 1 {
			t.Errorf("%s: %+v, %v", name, plan, err)
			continue
		}
		if step := ring.List()[0].Steps[0]; !strings.Contains(step.Error, string(tt.rule)) {
			t.Errorf("%s: said %q", name, step.Error)
		}
	}
}

func TestWordsAndWaitsAreKept(t *testing.T) {
	e, _, _ := engine(t, Config{}, says("p", &sdk.RepairResponse{
		Status: sdk.Status_OK, Reason: "so",
		Orders: []*sdk.RepairOrder{{Tessera: 0, WaitMs: 1500, Rebuild: 2, Priority: 7, Reason: "soon"}, {Tessera: 1, Rebuild: 99, Priority: 9, WaitMs: 1<<64 - 1}},
		Notes:  []*sdk.RepairNote{{Tessera: 2, Reason: "fine as it is"}},
	}))
	request := &sdk.RepairRequest{Tesseras: []*sdk.TesseraHealth{health(0, 3, 5), health(1, 4, 6), health(2, 5, 0)}}
	plan, err := e.Repair(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	want := []RepairOrder{
		{Tessera: sdk.TesseraID(id("tessera", 1)), Rebuild: 6, Wait: longestWait, Priority: 9},
		{Tessera: sdk.TesseraID(id("tessera", 0)), Rebuild: 2, Wait: 1500 * time.Millisecond, Priority: 7, Reason: "soon"},
	}
	if !slices.Equal(plan.Orders, want) || plan.Reason != "so" {
		t.Errorf("%+v", plan)
	}
	if !slices.Equal(plan.Skipped, []Skipped{{sdk.TesseraID(id("tessera", 2)), "fine as it is"}}) {
		t.Errorf("skipped %v", plan.Skipped)
	}
}

// TestPages: more tesseras than a policy is asked about at a time are asked about in pages, and come
// back as one order.
func TestPages(t *testing.T) {
	e, counters, _ := engine(t, Config{})
	request := &sdk.RepairRequest{IntervalMs: 1000, Weather: &sdk.Weather{PeersAsked: 9}}
	for i := range 2*sdk.MaxTesseras + 10 {
		request.Tesseras = append(request.Tesseras, health(i, uint32(i%20), 1))
	}
	plan, err := e.Repair(t.Context(), request)
	if err != nil || len(plan.Orders) != len(request.Tesseras) || len(plan.Sources) != 3 {
		t.Fatalf("%d orders of %d pages, %v", len(plan.Orders), len(plan.Sources), err)
	}
	margins := map[sdk.TesseraID]uint32{}
	for _, h := range request.Tesseras {
		margins[sdk.TesseraID(h.Tessera)] = h.SurvivesPeers
	}
	if !slices.IsSortedFunc(plan.Orders, func(a, b RepairOrder) int { return int(margins[a.Tessera]) - int(margins[b.Tessera]) }) {
		t.Error("the pages do not make one order")
	}
	if n := counted(counters, "default", "native", Answered); n != 3 {
		t.Errorf("%d pages asked", n)
	}
	if plan, err := e.Repair(t.Context(), &sdk.RepairRequest{}); err != nil || len(plan.Orders) != 0 || plan.Deferred {
		t.Errorf("nothing to repair: %+v, %v", plan, err)
	}
}

func TestMalformedRepairRequests(t *testing.T) {
	e, _, _ := engine(t, Config{})
	for name, r := range map[string]*sdk.RepairRequest{
		"nil":      nil,
		"empty":    {Tesseras: []*sdk.TesseraHealth{nil}},
		"short id": {Tesseras: []*sdk.TesseraHealth{{Tessera: []byte("short")}}},
		"twice":    {Tesseras: []*sdk.TesseraHealth{health(0, 1, 1), health(0, 2, 2)}},
	} {
		if _, err := e.Repair(t.Context(), r); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
