package main

import (
	"math"
	"testing"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/policytest"
)

// midnight is 2030-05-01, 00:00 UTC.
const midnight = policytest.Noon - day/2

func TestUntilNight(t *testing.T) {
	for _, tt := range []struct {
		from, to, offset, now int64
		want                  uint64
	}{
		{1, 6, 0, midnight, hour},
		{1, 6, 0, midnight + hour, 0},
		{1, 6, 0, midnight + 6*hour - 1, 0},
		{1, 6, 0, midnight + 6*hour, 19 * hour},
		{22, 5, 0, midnight, 0},
		{22, 5, 0, midnight + 21*hour, hour},
		{1, 6, 120, midnight + 22*hour, hour}, // it is midnight there
		{1, 6, -120, midnight + 3*hour, 0},
		{1, 6, 0, -hour / 2, hour + hour/2},
	} {
		if got := (&nightRepair{tt.from, tt.to, tt.offset}).untilNight(tt.now); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
	for _, now := range []int64{math.MinInt64, math.MaxInt64} {
		if got := (&nightRepair{1, 6, 1440}).untilNight(now); got >= day {
			t.Errorf("%d: %d", now, got)
		}
	}
}

func TestDayAndNight(t *testing.T) {
	n := &nightRepair{from: 1, to: 6}
	q := policytest.Repair(policytest.Health(0, 3, 1), policytest.Health(1, 2, 5), policytest.Health(2, 0, 8))
	if a := n.Repair(q); a.Status != sdk.Status_OK || len(a.Orders) != 2 || a.Orders[1].WaitMs != 13*hour || a.Reason != "the night begins in 13 h" {
		t.Errorf("by day: %v", a)
	}
	q.NowUnixMs = midnight + 2*hour
	if a := n.Repair(q); a.Status != sdk.Status_PASS {
		t.Errorf("at night: %v", a)
	}
}

func TestPromises(t *testing.T) {
	policytest.Run(t, &nightRepair{}, nil)
	policytest.Run(t, &nightRepair{}, map[string]string{"from": "22", "to": "5", "utc_offset": "-90"})
	if _, err := policytest.Native(&nightRepair{}, map[string]string{"from": "6"}); err == nil {
		t.Error("a night of no length is taken")
	}
}
